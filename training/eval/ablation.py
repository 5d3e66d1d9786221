"""The papers' ablation at small scale: what is tuned before instruction tuning, 1.0 against 1.5, each stage left out.

All arms start from the same language model (stage 0 of the main run) and end with the same instruction tuning; only
what lies between differs. Measured: mean loss of the right answers on held-out pictures (more telling than accuracy
after so short a training), accuracy, and perplexity on plain text that no stage contains (WordNet's adverbs), before
and after. Arms that are done are not repeated; an interrupted one is resumed.

python -m eval.ablation            # writes results/ablation.json, results/ablation.png and a table
"""

import argparse
import copy
import json
import math
import shutil
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from monotrain.answers import answer
from monotrain.batches import normalise, resize
from monotrain.glosses import glosses
from monotrain.metrics import TASKS, interval, score
from monotrain.model import MonoInternVL
from monotrain.questions import knows
from monotrain.tokenizer import Tokenizer
from monotrain.train import Run

ROOT = Path(__file__).parents[1]
TILE, BATCH = 48, 32
LANGUAGE = {"name": "S0", "data": "text", "train": "language", "steps": 400, "batch": 64, "lr": 1.5e-3, "decay": 150}
STEPS = {"S1.1": 80, "S1.2": 240, "S1.3": 80, "S2": 480}
RATE = 5e-4  # higher rates make the model blind (README)
MEASURED = ("things_seen", "things_twemoji", "background", "count", "shape", "shape_colour", "digit", "flag")
# What differs from the recipe of 1.5: settings of the model, of what S1 trains, of what S1.3 trains, stages left out.
ARMS = {
    "1.5: attention and FFN experts, delta tuning": {},
    "experts, full tuning": {"s1": "all"},
    "no experts, full tuning": {"s1": "all", "model": {"experts": False}},
    "1.5 without S1": {"without": ["S1.1", "S1.2", "S1.3"]},
    "1.0: FFN experts, attention unfrozen in S1.3": {"model": {"visual_attention": "none"}, "s13": "visual and attention"},
    "1.5 without S1.3": {"without": ["S1.3"]},
    "1.5 without S1.2": {"without": ["S1.2"]},
    "1.5 without S1.1": {"without": ["S1.1"]},
}


def configured(base: dict, arm: dict) -> dict:
    """The run configuration of an arm; the first arm trains stage 0 for all."""
    cfg = copy.deepcopy(base)
    cfg["model"] |= arm.get("model", {})
    data = {"S1.1": "tags", "S1.2": "captions", "S1.3": "alignment", "S2": "questions"}
    cfg["stage"] = [dict(LANGUAGE)]
    for name, steps in STEPS.items():
        if name in arm.get("without", []):
            continue
        train = "all" if name == "S2" else arm.get("s13" if name == "S1.3" else "s1", arm.get("s1", "visual"))
        stage = {"name": name, "data": data[name], "train": train, "tile": TILE, "steps": steps, "batch": BATCH}
        cfg["stage"].append(stage | {"lr": RATE, "warmup": 30, "decay": steps // 2 if name == "S2" else 0})
    return cfg


def shared(cfg: dict, other: dict) -> str | None:
    """The last of the first stages that two runs have in common, in which the one can take over what the other has done."""
    last = None
    if cfg["model"] == other["model"]:
        for a, b in zip(cfg["stage"], other["stage"], strict=False):
            if a != b:
                break
            last = a["name"]
    return last


@torch.no_grad()
def perplexity(model: MonoInternVL, tok: Tokenizer, state: Path, lines: int = 400) -> float:
    """Per token, on glosses of adverbs, of which no stage contains any."""
    losses = []
    for line in glosses(state, ("adv",))[:lines]:
        ids = torch.tensor([[1, *tok.pieces(line + "\n")]])
        losses.append(F.cross_entropy(model.logits(model(ids, None))[0, :-1], ids[0, 1:], reduction="none"))
    return math.exp(torch.cat(losses).mean())


@torch.no_grad()
def answers(model: MonoInternVL, tok: Tokenizer, state: Path, task: str, exact: bool, n: int = 80) -> dict:
    """Mean loss of the right answer, summed over its tokens, and where asked for the share of exact answers."""
    pictures = state / "eval_64" / TASKS[task].pictures
    records = json.loads(pictures.with_suffix(".json").read_text())
    keep = [i for i, r in enumerate(records) if knows(r, True) and TASKS[task].ask(r, i) is not None][:n]
    tiles = torch.from_numpy(resize(np.load(pictures.with_suffix(".npy"))[keep], TILE))
    records, losses = [records[i] for i in keep], []
    for i, record in enumerate(records):
        question, want = TASKS[task].ask(record, i)
        prompt = tok.prompt(question, model.cfg.visual_tokens)
        ids = torch.tensor([prompt + tok.pieces(want) + [tok.im_end]])
        out = model.logits(model(ids, normalise(tiles[i : i + 1]), prompt.index(tok.image)))
        losses.append(float(F.cross_entropy(out[0, len(prompt) - 1 : -1], ids[0, len(prompt) :], reduction="sum")))
    report = {"loss": float(np.mean(losses)), "n": len(records)}
    if exact:
        marks = score(task, records, lambda q, keep: answer(model, tok, q, tiles[keep]))
        report["right"] = sum(m["right"] for m in marks)
    return report


def measure(run: Run) -> None:
    """Writes `end_STAGE.json` after the language model, the last stage before S2, and S2."""
    spec, names = run.cfg["stage"][run.stage], [s["name"] for s in run.cfg["stage"]]
    if spec["name"] not in ("S0", names[-2], "S2"):
        return
    model = copy.deepcopy(run.model).float().cpu().eval()
    model.cfg.tile = TILE
    report = {"perplexity": perplexity(model, run.tok, run.state), "tasks": {}}
    if spec["name"] != "S0":
        report["tasks"] = {task: answers(model, run.tok, run.state, task, spec["name"] == "S2") for task in MEASURED}
    (run.run_dir / f"end_{spec['name']}.json").write_text(json.dumps(report))


def table(done: dict) -> str:
    """Markdown: one row an arm."""

    def mean(part: dict) -> str:
        return f"{np.mean([t['loss'] for t in part['tasks'].values()]):.2f}" if part["tasks"] else "-"

    head = "| arm | loss after S1 | loss after S2 | exact after S2 | perplexity after S0 | after S1 | after S2 |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name, r in done.items():
        s0, s1, s2 = r["S0"], r["S1"], r["S2"]
        right, n = (sum(t[k] for t in s2["tasks"].values()) for k in ("right", "n"))
        low, high = interval(right, n)
        lines.append(
            f"| {name} | {mean(s1)} | {mean(s2)} | {right / n:.0%} ({low:.0%} to {high:.0%}) "
            f"| {s0['perplexity']:.1f} | {s1['perplexity']:.1f} | {s2['perplexity']:.1f} |"
        )
    return "\n".join(lines)


def plot(done: dict, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained", sharey=True)
    names, y = list(done), np.arange(len(done))
    for k, stage in enumerate(("S1", "S2")):
        loss = [np.mean([t["loss"] for t in done[n][stage]["tasks"].values()] or [0]) for n in names]
        axes[0].barh(y + 0.2 - 0.4 * k, loss, 0.4, label=f"after {stage}")
    for k, stage in enumerate(("S0", "S1", "S2")):
        axes[1].barh(y + 0.27 - 0.27 * k, [done[n][stage]["perplexity"] for n in names], 0.27, label=f"after {stage}")
    axes[0].set(xlabel="loss of the right answers, held-out pictures (lower is better)", yticks=y, yticklabels=names)
    axes[1].set(xlabel="perplexity on unseen text (log scale)", xscale="log")
    axes[0].invert_yaxis()
    for axis in axes:
        axis.legend(fontsize=8)
        axis.grid(axis="x", alpha=0.3)
    fig.savefig(out, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=ROOT / ".state")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    args = parser.parse_args()
    base = tomllib.loads((ROOT / "config.toml").read_text())
    base["train"] |= {"workers": 1, "sample_steps": 10**9}
    base["data"]["shards"] = min(8, base["data"]["shards"])
    file = args.out / "ablation.json"
    done = json.loads(file.read_text()) if file.exists() else {}
    earlier: list[tuple[dict, Path]] = []
    for k, (name, arm) in enumerate(ARMS.items()):
        cfg = configured(base, arm)
        run_dir = args.state / "runs" / "ablation" / str(k)
        if name not in done:
            print(f"# {name}", flush=True)
            run = Run(argparse.Namespace(state=args.state, name=f"ablation/{k}"), cfg)
            begin(run, earlier)
            run.go(1e9, at_end=measure)
            if run.stop:
                break
            names = [s["name"] for s in cfg["stage"]]
            ends = {s: json.loads((run_dir / f"end_{s}.json").read_text()) for s in ("S0", names[-2], "S2")}
            done[name] = {"S0": ends["S0"], "S1": ends[names[-2]], "S2": ends["S2"]}
            file.write_text(json.dumps(done, indent=1) + "\n")
        earlier.append((cfg, run_dir))
    if done:
        print(table(done))
        plot(done, args.out / "ablation.png")


def begin(run: Run, earlier: list[tuple[dict, Path]]) -> None:
    """Takes over the longest stretch that an earlier arm has in common; at least stage 0, which has nothing visual."""
    names = [s["name"] for s in run.cfg["stage"]]
    best, source = "S0", earlier[0][1] if earlier else None
    for cfg, folder in earlier:
        stage = shared(run.cfg, cfg)
        if stage and names.index(stage) > names.index(best):
            best, source = stage, folder
    if source is None:
        return
    run.take_over(source / f"state_{best}.pt")
    # What that stage ended with need not be measured again, where it was.
    for stage in ("S0", best):
        if (source / f"end_{stage}.json").exists():
            shutil.copyfile(source / f"end_{stage}.json", run.run_dir / f"end_{stage}.json")


if __name__ == "__main__":
    main()
