"""All ratios in one picture: a point for each measurement, a row for each peer and its numbers."""

import json
from pathlib import Path
from statistics import geometric_mean

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

COLOURS = {"prompt": "#3b6ea5", "token": "#c8651b"}


def _kind(test: str) -> str:
    return "token" if test.startswith(("tg", "decode")) or "1 token" in test else "prompt"


def draw(results: list[Path], out: Path) -> None:
    """Reads the JSON of the parts and writes an SVG."""
    groups: dict[tuple[str, str, str], list[tuple[str, float]]] = {}
    for path in results:
        for row in json.loads(path.read_text())["rows"]:
            group = (row["peer"], row["peer numbers"], row["monolens numbers"])
            groups.setdefault(group, []).append((_kind(row["test"]), row["ratio"]))
    names = [f"{peer}, {theirs}; ours {ours}" for peer, theirs, ours in groups]
    figure, axes = plt.subplots(figsize=(9, 0.36 * len(names) + 1.4), layout="constrained")
    for y, points in enumerate(groups.values()):
        for kind, shift in (("prompt", -0.13), ("token", 0.13)):
            ratios = [ratio for k, ratio in points if k == kind]
            if not ratios:
                continue
            at = [y + shift] * len(ratios)
            axes.plot(ratios, at, "o", color=COLOURS[kind], alpha=0.55, markersize=5, markeredgewidth=0)
            axes.plot([geometric_mean(ratios)], [y + shift], "|", color=COLOURS[kind], markersize=11, markeredgewidth=2)
    axes.axvline(1, color="#444", linewidth=1)
    axes.set_xscale("log")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    low, high = axes.get_xlim()
    axes.set_xticks([t for t in ticks if low <= t <= high], [f"{t:g}" for t in ticks if low <= t <= high])
    axes.minorticks_off()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x", color="#ddd")
    axes.set_axisbelow(True)
    axes.set_xlabel("time of the peer / time of Monolens: right of 1 Monolens is faster (bar: geometric mean)")
    for kind, label in (("prompt", "many rows (prompts)"), ("token", "one row (answers)")):
        axes.plot([], [], "o", color=COLOURS[kind], label=label)
    figure.legend(loc="outside upper right", ncols=2, fontsize="small", frameon=False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    plt.rcParams["svg.hashsalt"] = "monolens"
    figure.savefig(out, metadata={"Date": None})
