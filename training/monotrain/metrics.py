"""What is measured: one plain question a task, exact match, confidence intervals, chance and majority."""

import math
from collections import Counter
from collections.abc import Callable

from .questions import THINGS, plural
from .vocabulary import NUMBERS, said

# (question, wanted answer) of a record; None where the record does not fit the task.
QUESTIONS: dict[str, Callable[[dict], tuple[str, str] | None]] = {
    "twemoji": lambda r: ("What is this?", THINGS[r["n"]].said),
    "openmoji": lambda r: ("What is this?", THINGS[r["n"]].said),
    "seen_styles": lambda r: ("What is this?", THINGS[r["n"]].said),
    "pair": lambda r: (f"What is {'on the left' if r['rel'] == 'left' else 'at the top'}?", THINGS[r["a"]].said),
    "count": lambda r: (f"How many {plural(r['s']) if 's' in r else 'things'} are there?", NUMBERS[r["n"]]),
    "shape": lambda r: _shape(r),
    "digit": lambda r: ("What digit is this?", str(r["d"])),
    "flag": lambda r: ("Which country's flag is this?", r["n"]),
}


def _shape(r: dict) -> tuple[str, str]:
    if r["t"] == "shape":
        return "What shape is this?", said(r["s"])
    return f"What is {'on the left' if r['rel'] == 'left' else 'at the top'}?", said(" ".join(r["a"]))


def same(answer: str, want: str) -> bool:
    """Exact match without case, article, and final stop."""

    def bare(text: str) -> str:
        text = text.strip().rstrip(".").lower()
        for article in ("a pair of ", "a ", "an ", "some ", "the "):
            text = text.removeprefix(article)
        return text

    return bare(answer) == bare(want)


def score(task: str, records: list[dict], ask: Callable[[str, list[int]], list[str]]) -> list[dict]:
    """Asks each record its question (grouped by question) and marks the answers."""
    rows = [QUESTIONS[task](r) for r in records]
    out: list[dict] = [{} for _ in rows]
    for question in dict.fromkeys(q for q, _ in rows):
        keep = [i for i, (q, _) in enumerate(rows) if q == question]
        for i, got in zip(keep, ask(question, keep), strict=True):
            want = rows[i][1]
            out[i] = {"question": question, "want": want, "answer": got, "right": same(got, want)}
    return out


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
