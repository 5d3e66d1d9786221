"""What is measured: one plain question a picture and task, exact match, confidence intervals, chance and majority."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .questions import THINGS, plural, rivals
from .vocabulary import NUMBERS, said


@dataclass(frozen=True)
class Task:
    """A question to the pictures of an evaluation set; `ask` gives (question, answer), or None if it does not fit."""

    pictures: str
    title: str
    ask: Callable[[dict, int], tuple[str, str] | None]


def _name(r: dict, _i: int) -> tuple[str, str]:
    return "What is this?", THINGS[r["n"]].said


def _first(r: dict) -> str:
    return "on the left" if r["rel"] == "left" else "at the top"


def _pair(r: dict, _i: int):
    return f"What is {_first(r)}?", THINGS[r["a"]].said


def _shape(r: dict, _i: int):
    return ("What shape is this?", said(r["s"])) if r["t"] == "shape" else None


def _shape_colour(r: dict, _i: int):
    return ("What colour is it?", r["c"]) if r["t"] == "shape" else None


def _relation(r: dict, _i: int):
    return (f"What is {_first(r)}?", said(" ".join(r["a"]))) if r["t"] == "two" else None


def _is_it(r: dict, i: int):
    if i % 2:
        return f"Is it {said(r['n'])}?", "yes"
    others = rivals(r["n"]) or ["dog"]
    return f"Is it {said(others[i // 2 % len(others)])}?", "no"


def _count(r: dict, _i: int):
    return f"How many {plural(r['s']) if 's' in r else 'things'} are there?", NUMBERS[r["n"]]


TASKS = {
    "things_twemoji": Task("twemoji", "things, style never trained on (twemoji)", _name),
    "things_centred": Task("twemoji_centred", "things, the same style, whole and centred on one colour", _name),
    "things_openmoji": Task("openmoji", "things, style never trained on (openmoji, line art)", _name),
    "things_seen": Task("seen_styles", "things, styles trained on, new pictures", _name),
    "kind": Task("twemoji", "kind of thing (twemoji)", lambda r, i: ("What kind of thing is it?", said(THINGS[r["n"]].kind))),
    "yes_no": Task("twemoji", "is it X? (twemoji; X of the same kind)", _is_it),
    "background": Task(
        "twemoji", "colour of the background", lambda r, i: ("What colour is the background?", r["bg"]) if r["bg"] else None
    ),
    "pair": Task(
        "pair", "which of two things is left / on top (twemoji)", lambda r, i: (f"What is {_first(r)}?", THINGS[r["a"]].said)
    ),
    "count": Task("count", "counting one to six", _count),
    "shape": Task("shape", "shape, of eight", _shape),
    "shape_colour": Task("shape", "colour of a shape, of eleven", _shape_colour),
    "relation": Task("shape", "colour and shape left / on top, of 88", _relation),
    "digit": Task("digit", "digit, font families never trained on", lambda r, i: ("What digit is this?", str(r["d"]))),
    "flag": Task("flag", "flag, style never trained on (twemoji), of 48", lambda r, i: ("Which country's flag is this?", r["n"])),
}
PROBE = ("things_twemoji", "things_centred", "things_seen", "yes_no", "background", "count", "shape", "relation", "digit", "flag")


def same(answer: str, want: str) -> bool:
    """Exact match without case, article, and final stop."""

    def bare(text: str) -> str:
        text = text.strip().rstrip(".").lower()
        for article in ("a pair of ", "a ", "an ", "some ", "the "):
            text = text.removeprefix(article)
        return text

    return bare(answer) == bare(want)


def score(task: str, records: Sequence[dict], ask: Callable[[str, list[int]], list[str]]) -> list[dict]:
    """Asks each fitting record its question (grouped by question) and marks the answers."""
    rows = {i: t for i, r in enumerate(records) if (t := TASKS[task].ask(r, i)) is not None}
    out: dict[int, dict] = {}
    for question in dict.fromkeys(q for q, _ in rows.values()):
        keep = [i for i, (q, _) in rows.items() if q == question]
        for i, got in zip(keep, ask(question, keep), strict=True):
            want = rows[i][1]
            out[i] = {"picture": i, "question": question, "want": want, "answer": got, "right": same(got, want)}
    return [out[i] for i in rows]


def interval(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    if n == 0:
        return 0.0, 1.0
    p, zz = right / n, z * z
    middle, half = p + zz / (2 * n), z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n))
    return max(0.0, (middle - half) / (1 + zz / n)), min(1.0, (middle + half) / (1 + zz / n))


def baselines(result: list[dict]) -> tuple[float, float]:
    """(chance: one over the number of different answers, share of the commonest answer)."""
    answers = Counter(r["want"] for r in result)
    return 1 / len(answers), max(answers.values()) / len(result)
