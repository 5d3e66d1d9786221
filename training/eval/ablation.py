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
import tomllib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from monotrain.answers import answer
from monotrain.batches import normalise, resize
from monotrain.glosses import glosses
from monotrain.metrics import TASKS, same
from monotrain.model import MonoInternVL
from monotrain.tokenizer import Tokenizer
from monotrain.train import Run

ROOT = Path(__file__).parents[1]
TILE, BATCH = 48, 32
STEPS = {"S1.1": 150, "S1.2": 500, "S1.3": 250, "S2": 900}
MEASURED = ("things_seen", "things_twemoji", "background", "count", "shape", "shape_colour", "digit", "flag")
# What differs from the recipe of 1.5: settings of the model, of what S1 trains, of what S1.3 trains, stages left out.
ARMS = {
    "1.5: attention and FFN experts, delta tuning": {},
    "experts, full tuning": {"s1": "all"},
    "no experts, full tuning": {"s1": "all", "model": {"experts": False}},
    "1.0: FFN experts, attention unfrozen in S1.3": {"model": {"visual_attention": "none"}, "s13": "visual and attention"},
    "1.5 without S1.1": {"without": ["S1.1"]},
    "1.5 without S1.2": {"without": ["S1.2"]},
    "1.5 without S1.3": {"without": ["S1.3"]},
    "1.5 without S1": {"without": ["S1.1", "S1.2", "S1.3"]},
}


def configured(base: dict, arm: dict) -> dict:
    """The run configuration of an arm; its stage 0 is taken over finished."""
    cfg = copy.deepcopy(base)
    cfg["model"] |= arm.get("model", {})
    data = {"S1.1": "tags", "S1.2": "captions", "S1.3": "alignment", "S2": "questions"}
    cfg["stage"] = [cfg["stage"][0]]
    for name, steps in STEPS.items():
        if name in arm.get("without", []):
            continue
        train = "all" if name == "S2" else arm.get("s13" if name == "S1.3" else "s1", arm.get("s1", "visual"))
        lr, decay = (1e-3, 500) if name == "S2" else (1.5e-3, 0)
        stage = {"name": name, "data": data[name], "train": train, "tile": TILE, "steps": steps, "batch": BATCH}
        cfg["stage"].append(stage | {"lr": lr, "decay": decay})
    return cfg


@torch.no_grad()
def perplexity(model: MonoInternVL, tok: Tokenizer, state: Path, lines: int = 400) -> float:
    """Per token, on glosses of adverbs, of which no stage contains any."""
    losses = []
    for line in glosses(state, ("adv",))[:lines]:
        ids = torch.tensor([[1, *tok.pieces(line + "\n")]])
        losses.append(F.cross_entropy(model.logits(model(ids, None))[0, :-1], ids[0, 1:], reduction="none"))
    return math.exp(torch.cat(losses).mean())


@torch.no_grad()
def answers(model: MonoInternVL, tok: Tokenizer, state: Path, task: str, n: int = 150) -> dict:
    """Mean loss of the right answer, summed over its tokens, and share of exact answers."""
    pictures = state / "eval_64" / TASKS[task].pictures
    tiles = torch.from_numpy(resize(np.load(pictures.with_suffix(".npy")), TILE))
    records = json.loads(pictures.with_suffix(".json").read_text())
    rows = [(i, *qa) for i, r in enumerate(records) if (qa := TASKS[task].ask(r, i)) is not None][:n]
    losses, right = [], 0
    for i, question, want in rows:
        prompt = tok.prompt(question, model.cfg.visual_tokens)
        ids = torch.tensor([prompt + tok.pieces(want) + [tok.im_end]])
        out = model.logits(model(ids, normalise(tiles[i : i + 1]), prompt.index(tok.image)))
        losses.append(float(F.cross_entropy(out[0, len(prompt) - 1 : -1], ids[0, len(prompt) :], reduction="sum")))
        right += same(answer(model, tok, question, tiles[i : i + 1])[0], want)
    return {"loss": float(np.mean(losses)), "right": right, "n": len(rows)}


def measure(run: Run) -> None:
    """Writes `end_STAGE.json` of the stage that has just ended."""
    model = copy.deepcopy(run.model).float().cpu().eval()
    model.cfg.tile = TILE
    out = {task: answers(model, run.tok, run.state, task) for task in MEASURED}
    report = {"perplexity": perplexity(model, run.tok, run.state), "tasks": out}
    (run.run_dir / f"end_{run.cfg['stage'][run.stage]['name']}.json").write_text(json.dumps(report))


def table(done: dict) -> str:
    """Markdown: one row an arm."""

    def mean(part: dict, what: str) -> float:
        return float(np.mean([t["loss"] if what == "loss" else t["right"] / t["n"] for t in part["tasks"].values()]))

    head = "| arm | loss after S1 | loss after S2 | exact after S2 | perplexity after S0 | after S1 | after S2 |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name, r in done.items():
        s0, s1, s2 = r["S0"], r["S1"], r["S2"]
        lines.append(
            f"| {name} | {mean(s1, 'loss'):.2f} | {mean(s2, 'loss'):.2f} | {mean(s2, 'right'):.0%} "
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
        loss = [np.mean([t["loss"] for t in done[n][stage]["tasks"].values()]) for n in names]
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
    parser.add_argument("--run", default="mono-tiny", help="the run whose stage 0 is taken")
    parser.add_argument("--out", type=Path, default=ROOT / "results")
    args = parser.parse_args()
    first = args.state / "runs" / args.run / "state_S0.pt"
    if not first.exists():
        raise SystemExit(f"{first} is missing: train stage 0 first (python -m monotrain.train)")
    base = tomllib.loads((ROOT / "config.toml").read_text())
    base["train"] |= {"workers": 1, "sample_steps": 10**9}
    base["data"]["shards"] = min(8, base["data"]["shards"])
    file = args.out / "ablation.json"
    done = json.loads(file.read_text()) if file.exists() else {}
    for k, (name, arm) in enumerate(ARMS.items()):
        if name in done:
            continue
        print(f"# {name}", flush=True)
        run = Run(argparse.Namespace(state=args.state, name=f"ablation/{k}"), configured(base, arm))
        run.take_over(first)
        run.go(1e9, at_end=measure)
        if run.stop:
            return
        stages = [json.loads((run.run_dir / f"end_{s['name']}.json").read_text()) for s in run.cfg["stage"]]
        done[name] = {"S0": stages[0], "S1": stages[-2], "S2": stages[-1]}
        file.write_text(json.dumps(done, indent=1) + "\n")
    print(table(done))
    plot(done, args.out / "ablation.png")


if __name__ == "__main__":
    main()
