"""Batches as a pure function of (seed, stage, step): resuming anywhere gives the same data."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import glosses, questions
from .tokenizer import Tokenizer, fake_records

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IGNORE = -100


@dataclass
class Batch:
    """ids and the next-token targets [B, N]; pixels of one tile a row, at `start`, or none. The first `shared`
    positions are the same in every row."""

    ids: Tensor
    targets: Tensor
    pixels: Tensor | None
    start: int | None
    shared: int = 0


def normalise(tiles: Tensor) -> Tensor:
    """u8 or float tiles [T, S, S, 3] in 0..255 -> pixel values [T, 3, S, S]."""
    return ((tiles.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def augment(rng: np.random.Generator, tiles: np.ndarray, records: list[dict]) -> np.ndarray:
    """Mirror (where no side is named), shift by a few pixels, and mild changes of light and colour."""
    out = tiles.astype(np.float32)
    n, s = len(tiles), tiles.shape[1]
    shifts = rng.integers(-(s // 16), s // 16 + 1, (n, 2))
    gains = rng.normal(1, 0.07, (n, 1, 1, 1)) + rng.normal(0, 0.04, (n, 1, 1, 3))
    lifts = rng.normal(0, 8, (n, 1, 1, 1))
    for i, record in enumerate(records):
        if record["t"] == "thing" and rng.random() < 0.5:
            out[i] = out[i, :, ::-1]
        dy, dx = shifts[i]
        rows, cols = np.clip(np.arange(s) + dy, 0, s - 1), np.clip(np.arange(s) + dx, 0, s - 1)
        out[i] = out[i][rows][:, cols]
    return np.clip(out * gains + lifts, 0, 255)


class Source:
    """Training data of all stages."""

    def __init__(self, state: Path, cfg: dict, tokenizer: Tokenizer):
        self.tok, self.seed = tokenizer, cfg["data"]["seed"]
        self.text_budget = cfg["data"]["text_tokens"]
        tile = cfg["model"]["tile"]
        folder = state / f"train_{tile}"
        names = [folder / f"shard_{k:03}" for k in range(cfg["data"]["shards"])]
        # Held in memory: pages of a mapped file that is read at random are dropped on a busy machine.
        self.tiles = [np.load(n.with_suffix(".npy")) for n in names]
        self.records = [json.loads(n.with_suffix(".json").read_text()) for n in names]
        self.mix, self.short = cfg["data"]["mix"], cfg["data"]["short"]
        self.usable: dict[str, list[tuple[int, int]]] = {task: [] for task in self.mix}
        for k, records in enumerate(self.records):
            for i, r in enumerate(records):
                task = "shape" if r["t"] == "two" else r["t"]
                if task in self.mix and questions.knows(r, cfg["data"]["only_core"]):
                    self.usable[task].append((k, i))
        self.glosses = glosses.glosses(state)
        self.visual = (tile // cfg["model"]["patch"] // 2) ** 2
        self.open = tokenizer.head()
        self.image = tokenizer.pieces("<img>" + "<IMG_CONTEXT>" * self.visual + "</img>\n")
        self.cache: dict[str, list[int]] = {}

    def pieces(self, text: str) -> list[int]:
        ids = self.cache.get(text)
        if ids is None:
            ids = self.tok.pieces(text)
            if len(self.cache) < 200_000:
                self.cache[text] = ids
        return ids

    def conversation(self, turns: list[tuple[str, str]], head: list[int], budget: int) -> tuple[list[int], list[int]]:
        """Ids and targets of a conversation; turns past the budget of text tokens are left out."""
        ids, learn = list(head), [False] * len(head)
        for k, (q, a) in enumerate(turns):
            ask = (self.pieces("<|im_end|><|im_start|>user\n")[1:] if k else []) + self.pieces(q)
            ask = ask + self.pieces("<|im_end|><|im_start|>assistant\n")
            answer = self.pieces(a) + [self.tok.im_end]
            if k and len(ids) - len(head) + len(ask) + len(answer) > budget:
                break
            ids += ask + answer
            learn += [False] * len(ask) + [True] * len(answer)
        return ids, [t if m else IGNORE for t, m in zip(ids, learn, strict=True)]

    def turns(self, rng, record: dict, what: str, most: int) -> list[tuple[str, str]]:
        """What a stage says about a picture: noisy `tags`, clean `captions`, `alignment`, or `questions`."""
        roll = rng.random()
        if what == "tags":
            return [("Tags:", questions.tags(rng, record))]
        if what == "captions" or (what == "alignment" and roll < 0.4):
            return [("Caption:", questions.caption(record))]
        if what == "alignment":
            return questions.turns(rng, record, 2)
        return questions.turns(rng, record, most)

    def images(self, rng, batch: int, what: str) -> Batch:
        weights = np.array(list(self.mix.values()))
        tasks = rng.choice(list(self.mix), size=batch, p=weights / weights.sum())
        places = [questions.one(rng, self.usable[t]) for t in tasks]
        records = [self.records[k][i] for k, i in places]
        tiles = augment(rng, np.stack([self.tiles[k][i] for k, i in places]), records)
        head = self.open + self.image
        # Most batches ask once a picture: they are short, and pictures are what the names are learned from.
        most = 1 if rng.random() < self.short else 3
        rows = [self.conversation(self.turns(rng, r, what, most), head, self.text_budget) for r in records]
        ids, targets = self.pad(rows, min(max(len(ids) for ids, _ in rows), len(head) + self.text_budget))
        return Batch(ids, targets, normalise(torch.from_numpy(tiles)), len(self.open) + 1, len(self.open) + 1)

    def text(self, rng, batch: int, length: int) -> Batch:
        """Text only: half plain language (glosses, captions), half conversation, packed to the length."""
        rows = []
        for _ in range(batch):
            if rng.random() < 0.5:
                ids: list[int] = [1]
                while len(ids) < length:
                    if rng.random() < 0.6:
                        line = questions.one(rng, self.glosses)
                    else:
                        line = questions.caption(next(fake_records(rng, 1)))
                    ids += self.tok.pieces(line + "\n")
                rows.append((ids, [IGNORE, *ids[1:]]))
            else:
                rows.append(self.conversation(questions.text_turns(rng), self.open, length - len(self.open)))
        ids, targets = self.pad(rows, length)
        return Batch(ids, targets, None, None)

    def pad(self, rows: list[tuple[list[int], list[int]]], length: int) -> tuple[Tensor, Tensor]:
        """Right-padded (harmless: attention is causal), targets shifted to the position that predicts them."""
        ids = torch.full((len(rows), length), 2, dtype=torch.long)
        targets = torch.full((len(rows), length), IGNORE, dtype=torch.long)
        for i, (row, target) in enumerate(rows):
            n = min(len(row), length)
            ids[i, :n] = torch.tensor(row[:n])
            targets[i, : n - 1] = torch.tensor(target[1:n])
        return ids, targets

    def batch(self, stage: int, step: int, spec: dict) -> Batch:
        """The batch of a step of a stage."""
        rng = np.random.default_rng([self.seed, stage, step])
        every = spec.get("text_every", 0)
        if spec["data"] == "text" or (every and step % every == 0):
            return self.text(rng, spec["batch"], 64)
        return self.images(rng, spec["batch"], spec["data"])
