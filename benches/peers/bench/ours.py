"""Monolens' side: the built commands `monolens-blocks` and `monolens bench`."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .sizes import BLOCKS, MODEL, STEPS, Sizes, Step
from .timing import Timing

ROOT = Path(__file__).resolve().parents[3]


def _binary(name: str) -> Path:
    folder = Path(os.environ.get("MONOLENS_BIN", ROOT / "target" / "release"))
    path = folder / name
    if not path.exists():
        raise SystemExit(f"{path}: not there; `cargo build --release --workspace` makes it (or set MONOLENS_BIN)")
    return path


def request(
    weights: str,
    sizes: Sizes = MODEL,
    steps: Sequence[Step] = STEPS,
    blocks: Sequence[str] = BLOCKS,
    repeat: int = 5,
    **device: str,
) -> str:
    """A request to `monolens-blocks`."""
    rows = [{"rows": s.rows, "visual": s.visual, "depth": s.depth} for s in steps]
    parts = {"weights": weights, "sizes": sizes.request(), "blocks": list(blocks), "rows": rows, "repeat": repeat}
    return json.dumps(parts | device)


def timings(report: dict) -> dict[tuple[str, Step], Timing]:
    """A report of `monolens-blocks`, by block and step."""
    return {(t["block"], Step(t["rows"], t["visual"], t["depth"])): Timing(tuple(t["seconds"])) for t in report["timed"]}


def blocks(weights: str, **options) -> tuple[dict[tuple[str, Step], Timing], str]:
    """Times blocks natively; gives the device's name too."""
    out = subprocess.run(
        [_binary("monolens-blocks"), request(weights, **options)], check=True, capture_output=True, text=True
    ).stdout
    report = json.loads(out)
    return timings(report), f"{report['device']} [{report['tier']}]"


def bench(*arguments: str, repeat: int = 3) -> dict[str, Timing]:
    """Runs `monolens bench --random mono-2b`; by test, the seconds of a step. It tells the median and the spread only, so
    the timing is made of these three: the median, and an equal distance to either side."""
    command = [_binary("monolens"), "bench", "--random", "mono-2b", "--repeat", str(repeat), "--format", "json", *arguments]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = {}
    for row in json.loads(out):
        half = (row["spread"] or 0) / 2
        result[row["test"]] = Timing((row["s"] * (1 - half), row["s"], row["s"] * (1 + half)))
    return result
