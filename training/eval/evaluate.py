"""Accuracy by task, from PyTorch or through the `monolens` command, on pictures that were never trained on.

python -m eval.evaluate                             # the shipped folder, PyTorch, all tasks
python -m eval.evaluate --engine monolens --n 40    # the same through the engine's command
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monotrain import checkpoint
from monotrain.answers import answer
from monotrain.metrics import TASKS, baselines, interval, measured, score
from monotrain.questions import knows
from monotrain.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]
Ask = Callable[[str, np.ndarray], list[str]]


def pytorch(folder: Path) -> Ask:
    """Answers of the checkpoint in f32 in PyTorch."""
    model, tok = checkpoint.load(folder), Tokenizer(folder)

    def ask(question: str, tiles: np.ndarray) -> list[str]:
        out: list[str] = []
        for k in range(0, len(tiles), 100):
            out += answer(model, tok, question, torch.from_numpy(tiles[k : k + 100].copy()), 40)
        return out

    return ask


def monolens(folder: Path, binary: str, extra: list[str]) -> Ask:
    """Answers of `monolens run FOLDER IMAGE -p QUESTION --json`, one process a question."""

    def ask(question: str, tiles: np.ndarray) -> list[str]:
        out = []
        with tempfile.TemporaryDirectory() as tmp:
            for tile in tiles:
                path = Path(tmp) / "tile.png"
                Image.fromarray(tile).save(path)
                command = [binary, "run", str(folder), str(path), "-p", question, "--json", *extra]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                reply = json.loads(done.stdout)
                out.append(str(reply.get("text", reply.get("answer", ""))).strip())
        return out

    return ask


def confusions(rows: list[tuple[np.ndarray, dict]], out: Path, most: int = 40) -> None:
    """A sheet of wrongly answered pictures, with what was said and what it is."""
    from PIL import ImageDraw, ImageFont

    rows = rows[:most]
    columns, cell, text = 8, 112, 30
    sheet = Image.new("RGB", (columns * (cell + 8), -(-len(rows) // columns) * (cell + text + 8)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for k, (tile, r) in enumerate(rows):
        x, y = k % columns * (cell + 8) + 4, k // columns * (cell + text + 8) + 4
        sheet.paste(Image.fromarray(tile).resize((cell, cell), Image.NEAREST), (x, y))
        pen.text((x, y + cell + 1), f"said: {r['answer'][:18]}", fill=(180, 0, 0), font=font)
        pen.text((x, y + cell + 14), f"is: {r['want'][:20]}", fill=(0, 90, 0), font=font)
    sheet.save(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT.parent / "models" / "mono-tiny")
    parser.add_argument("--state", type=Path, default=ROOT / ".state")
    parser.add_argument("--engine", choices=("pytorch", "monolens"), default="pytorch")
    parser.add_argument("--binary", default=os.environ.get("MONOLENS", str(ROOT.parent / "target" / "release" / "monolens")))
    parser.add_argument("--n", type=int, default=600, help="pictures of each set")
    parser.add_argument("--tasks", nargs="*", choices=list(TASKS), help="all that are taught, if none is named")
    parser.add_argument("--core", action="store_true", help="only pictures of the names marked in data/things.txt")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    parser.add_argument("--confusions", type=Path, help="write a picture of wrong answers about things here")
    parser.add_argument("extra", nargs="*", help="further arguments for monolens (after --)")
    args = parser.parse_args()
    ask = pytorch(args.model) if args.engine == "pytorch" else monolens(args.model, args.binary, args.extra)
    data = tomllib.loads((ROOT / "config.toml").read_text())["data"]
    only_core = data["only_core"] or args.core
    tile = checkpoint.read_config(args.model).tile
    numbers: dict[str, dict] = {}
    wrong: list[tuple[np.ndarray, dict]] = []
    print(f"{'task':58} {'right':>7} {'95 % interval':>15} {'n':>5} {'chance':>7} {'majority':>8}")
    for name in args.tasks or measured(list(TASKS), data["boxes"]):
        task, folder = TASKS[name], args.state / f"eval_{tile}"
        if not (folder / f"{task.pictures}.npy").exists():
            print(f"{task.title:58} skipped: {folder} has no {task.pictures}.npy", flush=True)
            continue
        records = json.loads((folder / f"{task.pictures}.json").read_text())
        keep = [i for i, r in enumerate(records) if knows(r, only_core)][: args.n]
        tiles, records = np.load(folder / f"{task.pictures}.npy")[keep], [records[i] for i in keep]
        result = score(name, records, lambda q, keep, t=tiles: ask(q, t[keep]))
        right, n = sum(r["right"] for r in result), len(result)
        (low, high), (chance, majority) = interval(right, n), baselines(name, result)
        print(f"{task.title:58} {right / n:7.1%} {low:6.1%}..{high:6.1%} {n:5} {chance:7.1%} {majority:8.1%}", flush=True)
        numbers[name] = {"right": right, "n": n, "low": low, "high": high, "chance": chance, "majority": majority}
        if name == "things_twemoji":
            wrong = [(tiles[r["picture"]], r) for r in result if not r["right"]]
    if args.json:
        report = {"date": time.strftime("%Y-%m-%d"), "engine": args.engine, "tasks": numbers}
        args.json.write_text(json.dumps(report, indent=1) + "\n")
    if args.confusions and wrong:
        confusions(wrong, args.confusions)


if __name__ == "__main__":
    main()
