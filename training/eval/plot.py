"""Plots a run's loss and probe accuracies from its log.

python -m eval.plot --out results/training.png
"""

import argparse
import json
import tomllib
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

ROOT = Path(__file__).parents[1]
TITLES = {
    "things_centred": "things, held-out style, centred",
    "things_twemoji": "things, held-out style, anywhere",
    "things_seen": "things, seen styles",
    "count": "counting to six",
    "shape": "shape",
    "digit": "digit, held-out fonts",
    "flag": "flag, held-out style",
    "relation": "colour and shape of two",
    "background": "colour of the background",
    "yes_no": "is it X? (chance: 50 %)",
    "shape_open": "shape, asked What is this?",
    "grocery": "groceries, photographs (test list)",
    "clothes": "clothes, photographs (test list)",
    "box_thing": "box of a thing, IoU over 0.5",
    "box_shape": "box of one of two shapes, IoU over 0.5",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, default=ROOT / ".state" / "runs" / "mono-tiny" / "log.jsonl")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "training.png")
    args = parser.parse_args()
    stages = tomllib.loads((ROOT / "config.toml").read_text())["stage"]
    rows = [json.loads(line) for line in args.log.read_text().splitlines()]
    begin, total = {}, 0
    for spec in stages:
        begin[spec["name"]] = total
        total += spec["steps"] * spec["batch"]
    # Samples up to each row: the batch may have been changed during a stage.
    done: dict[str, tuple[int, int]] = {}
    for row in rows:
        step, samples = done.get(row["stage"], (0, begin[row["stage"]]))
        row["at"] = samples + (row["step"] - step) * row["batch"]
        done[row["stage"]] = row["step"], row["at"]

    def x(row: dict) -> float:
        return row["at"] / 1000

    fig, (left, right) = plt.subplots(1, 2, figsize=(13.5, 4.2), layout="constrained")
    for spec in stages:
        part = [r for r in rows if "loss" in r and r["stage"] == spec["name"]]
        if not part:  # a run that began with an exported folder has no earlier stages
            continue
        left.plot([x(r) for r in part], [r["loss"] for r in part], label=f"{spec['name']} ({spec['data']})", lw=1.2)
    left.set(
        xlabel="samples (thousands)",
        ylabel="loss on answer tokens",
        title="Loss by stage",
        ylim=(0, min(5, 1.1 * max(r["loss"] for r in rows if "loss" in r))),
    )
    left.legend()
    probes = [r for r in rows if "samples" in r]
    colours = plt.get_cmap("tab20").colors
    for k, (name, title) in enumerate(TITLES.items()):
        part = [r for r in rows if f"accuracy/{name}" in r]
        if not part or part[-1] is not probes[-1]:  # no longer measured
            continue
        right.plot(
            [x(r) for r in part], [100 * r[f"accuracy/{name}"] for r in part], marker="o", ms=3, color=colours[k], label=title
        )
    right.set(
        xlabel="samples (thousands)",
        ylabel="exact answers, %",
        ylim=(0, 100),
        title="Probe during training (up to 100 pictures a task)",
    )
    right.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5))
    for axis in (left, right):
        axis.grid(alpha=0.3)
    args.out.parent.mkdir(exist_ok=True)
    fig.savefig(args.out, dpi=110)


if __name__ == "__main__":
    main()
