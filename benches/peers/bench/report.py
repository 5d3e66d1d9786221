"""The rows of the comparison, and how they are written."""

import json
import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from .ours import ROOT
from .timing import Timing

# Above this share of the median something else was going on.
UNSTEADY = 0.10


@dataclass(frozen=True)
class Row:
    """One thing, done by a peer and by Monolens in the same run."""

    test: str
    peer: str
    peer_numbers: str
    theirs: Timing
    our_numbers: str
    ours: Timing

    def plain(self) -> dict:
        return {
            "test": self.test,
            "peer": self.peer,
            "peer numbers": self.peer_numbers,
            "peer, s": self.theirs.median,
            "peer spread": self.theirs.spread,
            "monolens numbers": self.our_numbers,
            "monolens, s": self.ours.median,
            "monolens spread": self.ours.spread,
            "ratio": self.theirs.median / self.ours.median,
        }


def machine() -> dict:
    """Where and when."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return {
        "cpu": name,
        "threads": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "date": date.today().isoformat(),
        "commit": git("rev-parse", "--short", "HEAD"),
    }


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def _spread(value: float) -> str:
    return f"±{value * 50:.0f} %" + (" !" if value > UNSTEADY else "")


def markdown(rows: list[dict]) -> str:
    """A table; the ratio is above one where Monolens is faster."""
    lines = [
        "| work | peer | its numbers | its time | our numbers | our time | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        theirs = f"{_seconds(row['peer, s'])} {_spread(row['peer spread'])}"
        ours = f"{_seconds(row['monolens, s'])} {_spread(row['monolens spread'])}"
        cells = [row["test"], row["peer"], row["peer numbers"], theirs, row["monolens numbers"], ours]
        lines.append("| " + " | ".join([*cells, f"{row['ratio']:.2f}"]) + " |")
    return "\n".join(lines) + "\n"


def save(path: Path, rows: list[Row], notes: str) -> None:
    """Writes what one part gave, for people and for programs; `path` has no suffix yet."""
    plain = [row.plain() for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps({"machine": machine(), "notes": notes, "rows": plain}, indent=1))
    text = markdown(plain) + (f"\n{notes}\n" if notes else "")
    path.with_suffix(".md").write_text(text)
    print(text)
