"""What is measured: one plain question a picture and task, exact match, confidence intervals, chance and majority."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .questions import PHOTOS, THINGS, grounded, plural, rivals
from .vocabulary import NUMBERS, said

BOX = re.compile(r"\[\[" + r",\s*".join([r"(\d+)"] * 4) + r"\]\]")


def overlaps(answer: str, want: str, least: float = 0.5) -> bool:
    """Whether the boxes of two answers have an intersection over union of more than `least`."""
    found = [BOX.search(t) for t in (answer, want)]
    if not all(found):
        return False
    a, b = ([int(v) for v in m.groups()] for m in found if m)

    def area(x1, y1, x2, y2):
        return max(0, x2 - x1) * max(0, y2 - y1)

    both = area(*(max(p, q) for p, q in zip(a[:2], b[:2], strict=True)), *(min(p, q) for p, q in zip(a[2:], b[2:], strict=True)))
    return both > least * (area(*a) + area(*b) - both)


def where(called: str, phrase: str, box) -> tuple[str, str]:
    return f"Where is the {called}?", grounded(phrase, box)


@dataclass(frozen=True)
class Task:
    """A question to the pictures of an evaluation set; `ask` gives (question, answer), or None if it does not fit."""

    pictures: str
    title: str
    ask: Callable[[dict, int], tuple[str, str] | None]
    right: Callable[[str, str], bool] | None = None  # how an answer is marked, exact match where nothing is said
    tokens: int = 12  # the longest answer


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


def _photo(r: dict, _i: int):
    return "What is this?", PHOTOS[r["n"]][0]


def _where(r: dict, _i: int):
    return where(r["n"], said(r["n"]), r["box"])


def _where_shape(r: dict, i: int):
    if r["t"] != "two":
        return None
    name = " ".join(r["ab"[i % 2]])
    return where(name, said(name), r["boxes"][i % 2])


def _open_shape(r: dict, _i: int):
    return ("What is this?", said(r["s"])) if r["t"] == "shape" else None


def decides(answer: str, want: str) -> bool:
    """Whether the last word of the answer is the right one of yes and no."""
    found = re.findall(r"\b(yes|no)\b", answer.lower())
    return bool(found) and found[-1] == want


TASKS = {
    "things_twemoji": Task("twemoji", "things, style never trained on (twemoji)", _name),
    "things_centred": Task("twemoji_centred", "things, the same style, whole and centred on one colour", _name),
    "things_openmoji": Task("openmoji", "things, style never trained on (openmoji, line art)", _name),
    "things_seen": Task("seen_styles", "things, styles trained on, new pictures", _name),
    "kind": Task("twemoji", "kind of thing (twemoji)", lambda r, i: ("What kind of thing is it?", said(THINGS[r["n"]].kind))),
    "yes_no": Task("twemoji", "is it X? (twemoji; X of the same kind)", _is_it, decides),
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
    "shape_open": Task("shape", "a shape, asked only What is this?", _open_shape),
    "digit_open": Task("digit", "a digit, asked only What is this?", lambda r, i: ("What is this?", str(r["d"]))),
    "box_thing": Task("twemoji", "box of a thing (twemoji), IoU over 0.5", _where, overlaps, 40),
    "box_shape": Task("shape", "box of one of two shapes, IoU over 0.5", _where_shape, overlaps, 40),
    "flag": Task("flag", "flag, style never trained on (twemoji), of 48", lambda r, i: ("Which country's flag is this?", r["n"])),
    "grocery": Task("grocery", "groceries, photographs of the authors' test list, of 43", _photo),
    "clothes": Task("clothing", "clothes, photographs of the authors' test list, of 10", _photo),
}
PROBE = (
    "things_twemoji",
    "things_centred",
    "things_seen",
    "yes_no",
    "background",
    "count",
    "shape",
    "relation",
    "digit",
    "flag",
    "shape_open",
    "grocery",
    "clothes",
    "box_thing",
    "box_shape",
)


def measured(names: Sequence[str], boxes: bool) -> list[str]:
    """Of these tasks those that the model is taught: boxes only where they are asked for in training."""
    return [n for n in names if boxes or TASKS[n].right is not overlaps]


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
            right = (TASKS[task].right or same)(got, want)
            out[i] = {"picture": i, "question": question, "want": want, "answer": got, "right": right}
    return [out[i] for i in rows]


def interval(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    if n == 0:
        return 0.0, 1.0
    p, zz = right / n, z * z
    middle, half = p + zz / (2 * n), z * math.sqrt(p * (1 - p) / n + zz / (4 * n * n))
    return max(0.0, (middle - half) / (1 + zz / n)), min(1.0, (middle + half) / (1 + zz / n))


def baselines(task: str, result: list[dict]) -> tuple[float, float]:
    """(chance: one over the number of different answers, share that is right when always the commonest answer is given).
    Boxes are hit by chance by none; the constant answer is their mean box."""
    wants = [r["want"] for r in result]
    right = TASKS[task].right
    if right is not overlaps:
        answers = Counter(wants)
        return 1 / len(answers), max(answers.values()) / len(result)
    corners = [[int(v) for v in m.groups()] for w in wants if (m := BOX.search(w))]
    mean = ", ".join(str(sum(c) // len(corners)) for c in zip(*corners, strict=True))
    return 0.0, sum(right(f"[[{mean}]]", w) for w in wants) / len(wants)
