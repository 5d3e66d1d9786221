"""Fills the measured numbers into the model card and prints what the examples are answered.

python -m eval.card --numbers results/accuracy.json
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monotrain import checkpoint
from monotrain.answers import answer
from monotrain.metrics import TASKS
from monotrain.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]


def accuracy_table(numbers: dict) -> str:
    lines = ["| task | exact answers | 95 % interval | n | chance | always the commonest answer |", "|---|---|---|---|---|---|"]
    for name, r in numbers["tasks"].items():
        share, low, high = (f"{100 * x:.0f} %" for x in (r["right"] / r["n"], r["low"], r["high"]))
        lines.append(
            f"| {TASKS[name].title} | **{share}** | {low} to {high} | {r['n']} | {r['chance']:.0%} | {r['majority']:.0%} |"
        )
    return "\n".join(lines)


def examples_table(folder: Path, examples: Path) -> str:
    """Every example with its questions, asked one after the other as in a chat, and the answers."""
    model, tok = checkpoint.load(folder), Tokenizer(folder)
    side = model.cfg.tile
    lines = ["| picture | question | answer |", "|---|---|---|"]
    for row in json.loads((examples / "questions.json").read_text()):
        image = Image.open(examples / row["image"]).convert("RGB").resize((side, side), Image.BICUBIC)
        tile = torch.from_numpy(np.asarray(image).copy())[None]
        history: tuple[tuple[str, str], ...] = ()
        for question in [row["question"], *row["follow_up"]]:
            said = answer(model, tok, question, tile, 16, history)[0]
            lines.append(f"| {'' if history else row['image']} | {question} | {said} |")
            history = (*history, (question, said))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT.parent / "models" / "mono-tiny")
    parser.add_argument("--numbers", type=Path, default=ROOT / "results" / "accuracy.json")
    args = parser.parse_args()
    card = args.model / "README.md"
    text = card.read_text()
    parts = {
        "accuracy": accuracy_table(json.loads(args.numbers.read_text())),
        "examples": examples_table(args.model, ROOT.parent / "examples"),
    }
    for name, table in parts.items():
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text, flags=re.S)
        print(table, end="\n\n")
    card.write_text(text)


if __name__ == "__main__":
    main()
