"""EViP in stages, resumable at any step. Run `python -m monotrain.train`; see the README.

The state (f32 masters, optimiser, stage and step) is saved every few minutes in one atomic step; the data of a
step depends on nothing but the seed, the stage and the step.
"""

import argparse
import json
import os
import shutil
import signal
import time
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from . import checkpoint, tokenizer
from .answers import answer
from .batches import IGNORE, Batch, normalise, resize
from .loader import Loader
from .metrics import PROBE, TASKS, measured, score
from .model import ModelConfig, MonoInternVL
from .optimiser import Masters, learning_rate
from .questions import knows
from .threads import Threads

ROOT = Path(__file__).parents[1]


def build(cfg: dict, tok: tokenizer.Tokenizer) -> MonoInternVL:
    known = {f.name for f in fields(ModelConfig)}
    sizes = {k: v for k, v in cfg["model"].items() if k in known}
    torch.manual_seed(cfg["data"]["seed"])
    return MonoInternVL(ModelConfig(**sizes, image_token=tok.image))


def quick_type(device: torch.device) -> torch.dtype:
    """BF16 where the processor multiplies it, else f32: without such instructions BF16 is nine times slower than f32."""
    bf16 = device.type == "cuda" or torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if bf16 else torch.float32


def loss_of(model: MonoInternVL, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy over the answer tokens; only their rows go through the last FFN and the output."""
    rows = batch.targets != IGNORE
    pixels = None
    if batch.tiles is not None:
        pixels = normalise(batch.tiles).to(next(model.parameters()).dtype)
    hidden = model(batch.ids, pixels, batch.start, batch.shared, rows)
    return F.cross_entropy(model.logits(hidden), batch.targets[rows])


class Run:
    """One training run: its model, its place in the stages, its log."""

    def __init__(self, args, cfg: dict):
        self.cfg, self.state = cfg, args.state
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.threads = Threads(cfg["train"]["threads"])
        folder = self.state / "tokenizer"
        start = getattr(args, "start", None)
        if start and not (folder / "tokenizer.model").exists():
            checkpoint.copy_tokenizer(start, folder)
        if not (folder / "tokenizer.model").exists():
            tokenizer.train(self.state, cfg["model"]["vocab_size"], folder)
        self.tok = tokenizer.Tokenizer(folder)
        gpu = self.device.type == "cuda"
        self.source = Loader(self.state, cfg, cfg["train"].get("workers", (os.cpu_count() or 4) - 2 if gpu else 1))
        self.model = build(cfg, self.tok).to(self.device, quick_type(self.device))
        self.stage, self.step, self.seconds = 0, 0, 0.0
        self.run_dir = self.state / "runs" / args.name
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.file = self.run_dir / "state.pt"
        self.masters: Masters | None = None
        self.stop = False
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stop", True))
        self.writer = None

    def enter(self, saved: dict | None = None, fresh: bool = True) -> None:
        """Sets up the optimiser of the current stage; visual experts begin from the text's unless they are there already."""
        spec = self.cfg["stage"][self.stage]
        sees = [s["data"] != "text" for s in self.cfg["stage"]]
        if fresh and saved is None and self.stage == sees.index(True):
            self.model.copy_text_experts()
            folder = self.state / f"train_{self.cfg['model']['tile']}"
            self.model.whiten(normalise(torch.from_numpy(np.load(folder / "shard_000.npy")[:500])))
        train = self.cfg["train"]
        self.model.cfg.tile = spec.get("tile", self.cfg["model"]["tile"])
        self.masters = Masters(self.model, spec["train"], train["weight_decay"], train["vision_lr"])
        if saved:
            self.masters.load(saved)
        print(f"== {spec['name']}: {spec['data']}, training {spec['train']}, step {self.step}/{spec['steps']}", flush=True)

    def save(self) -> None:
        tmp = self.file.with_suffix(".tmp")
        place = {"stage": self.stage, "step": self.step, "seconds": self.seconds}
        torch.save({**place, "model": self.model.state_dict(), **self.masters.state()}, tmp)
        os.replace(tmp, self.file)

    def resume(self) -> None:
        if not self.file.exists():
            return self.enter()
        saved = torch.load(self.file, map_location=self.device, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.stage, self.step, self.seconds = saved["stage"], saved["step"], saved["seconds"]
        return self.enter(saved)

    def log(self, **row) -> None:
        """One line to the log file, its numbers to TensorBoard."""
        spec = self.cfg["stage"][self.stage]
        place = {"stage": spec["name"], "step": self.step, "batch": spec["batch"], "seconds": round(self.seconds)}
        row = {**place, **row}
        with (self.run_dir / "log.jsonl").open("a") as f:
            f.write(json.dumps(row) + "\n")
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.run_dir / "tensorboard"))
        done = sum(s["steps"] for s in self.cfg["stage"][: self.stage]) + self.step
        for k, v in row.items():
            if isinstance(v, float):
                self.writer.add_scalar(k, v, done)
        if "samples" in row:
            self.writer.add_text("samples", row["samples"], done)

    def probe(self) -> None:
        """Accuracy on a part of each evaluation set, and some answers."""
        self.model.eval()
        folder, scores, samples = self.state / f"eval_{self.cfg['model']['tile']}", {}, []
        n = self.cfg["train"]["probe_pictures"]
        for task in measured(PROBE, self.cfg["data"].get("boxes", False)):
            pictures = folder / TASKS[task].pictures
            if not pictures.with_suffix(".npy").exists():
                continue  # no photographs at hand
            records = json.loads(pictures.with_suffix(".json").read_text())
            most = TASKS[task].tokens
            keep = [i for i, r in enumerate(records) if knows(r, self.cfg["data"]["only_core"])][: n if most < 20 else n // 3]
            tiles = torch.from_numpy(resize(np.load(pictures.with_suffix(".npy"))[keep], self.model.cfg.tile))
            records = [records[i] for i in keep]
            result = score(task, records, lambda q, keep, t=tiles, n=most: answer(self.model, self.tok, q, t[keep], n))
            scores[task] = float(np.mean([r["right"] for r in result]))
            samples += [f"{task}: {r['question']} -> {r['answer']} ({r['want']})" for r in result[:2]]
        self.model.train()
        print("  probe " + ", ".join(f"{k} {v:.2f}" for k, v in scores.items()), *samples, sep="\n    ", flush=True)
        self.log(**{f"accuracy/{k}": v for k, v in scores.items()}, samples="\n\n".join(samples))

    def export(self, out: Path) -> None:
        checkpoint.write(self.model, self.state / "tokenizer", out)

    def take_over(self, other: Path) -> None:
        """Begins with a finished stage of another run, unless this run has begun; tensors it lacks are left out."""
        if self.file.exists():
            return
        saved, own = torch.load(other, weights_only=True), self.model.state_dict()
        saved["model"] = {k: v for k, v in saved["model"].items() if k in own}
        torch.save(saved, self.file)

    def start_from(self, folder: Path, stage: str) -> None:
        """Begins a stage with the weights of an exported folder, unless this run has begun: f32 masters of its BF16 weights,
        an optimiser without a past."""
        if self.file.exists():
            print(f"{self.file} exists and is resumed; nothing is taken from {folder}", flush=True)
            return
        names = [s["name"] for s in self.cfg["stage"]]
        if stage not in names:
            raise SystemExit(f"there is no stage {stage}; the configuration has {', '.join(names)}")
        if (folder / "tokenizer.model").read_bytes() != (self.state / "tokenizer" / "tokenizer.model").read_bytes():
            raise SystemExit(f"{folder} has another tokenizer than {self.state / 'tokenizer'}")
        try:
            self.model.load_state_dict(checkpoint.load(folder).state_dict())
        except RuntimeError as error:
            raise SystemExit(f"{folder} does not fit the configuration: {error}") from None
        self.stage = names.index(stage)
        self.enter(fresh=False)
        self.save()

    def go(self, minutes: float, at_end: Callable[["Run"], None] | None = None) -> None:
        """Trains on from the saved state; `at_end` is called after each stage."""
        self.resume()
        began = saved = time.time()
        train = self.cfg["train"]
        losses: list[float] = []
        lap = time.time()
        while self.stage < len(self.cfg["stage"]):
            spec = self.cfg["stage"][self.stage]
            if self.step >= spec["steps"]:
                self.save()
                shutil.copyfile(self.file, self.file.with_stem(f"state_{spec['name']}"))
                if at_end:
                    at_end(self)
                if self.stage + 1 == len(self.cfg["stage"]):
                    break
                self.stage, self.step = self.stage + 1, 0
                self.enter()
                continue
            t = time.time()
            b = self.source.batch(self.stage, self.step, spec)
            b.ids, b.targets = b.ids.to(self.device), b.targets.to(self.device)
            if b.tiles is not None:
                b.tiles = b.tiles.to(self.device)
            loss = loss_of(self.model, b)
            loss.backward()
            lr = learning_rate(self.step, spec)
            norm = self.masters.step(lr, train["clip"])
            losses.append(float(loss.detach()))
            self.step += 1
            self.seconds += time.time() - t
            self.threads.tick()
            if self.step % 50 == 0:
                mean, rate = float(np.mean(losses[-50:])), 50 * spec["batch"] / (time.time() - lap)
                lap = time.time()
                place = f"{spec['name']} {self.step:6}"
                print(f"{place} loss {mean:.3f} norm {norm:.2f} lr {lr:.1e} {rate:.0f}/s x{torch.get_num_threads()}", flush=True)
                self.log(loss=mean, norm=norm, lr=lr, rate=rate)
            if spec.get("probe") and (self.step % train["sample_steps"] == 0 or self.step == spec["steps"]):
                self.probe()
            if time.time() - saved > 60 * train["save_minutes"]:
                self.save()
                saved = time.time()
            if self.stop or time.time() - began > 60 * minutes:
                break
        self.save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "config.toml")
    parser.add_argument("--state", type=Path, default=ROOT / ".state")
    parser.add_argument("--name", default="mono-tiny", help="name of the run; its state is resumed")
    parser.add_argument("--from", type=Path, dest="start", help="begin a new run with the weights of this exported folder")
    parser.add_argument("--stage", default="S2.4", help="the stage that --from begins with")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop (and save) after so long")
    parser.add_argument("--export", type=Path, help="write the checkpoint folder of the saved state and end")
    parser.add_argument("--probe", action="store_true", help="probe the saved state and end")
    args = parser.parse_args()
    run = Run(args, tomllib.loads(args.config.read_text()))
    if args.start:
        run.start_from(args.start, args.stage)
    if args.export or args.probe:
        run.resume()
        if args.probe:
            run.probe()
        if args.export:
            run.export(args.export)
        return
    run.go(args.minutes)


if __name__ == "__main__":
    main()
