"""Batches as a pure function of (seed, stage, step): resuming anywhere gives the same data."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import glosses, questions
from .tokenizer import Tokenizer, fake_records

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IGNORE = -100
GROUP = 8  # batches made together


@dataclass
class Batch:
    """ids and the next-token targets [B, N]; u8 tiles [B, S, S, 3] of one tile a row, at `start`, or none. The first `shared`
    positions are the same in every row."""

    ids: Tensor
    targets: Tensor
    tiles: Tensor | None
    start: int | None
    shared: int = 0


def normalise(tiles: Tensor) -> Tensor:
    """u8 or float tiles [T, S, S, 3] in 0..255 -> pixel values [T, 3, S, S]."""
    mean, std = (torch.tensor(x, device=tiles.device) for x in (MEAN, STD))
    return ((tiles.float() / 255 - mean) / std).permute(0, 3, 1, 2)


MIRRORED = ("thing", "shape", "count", "photo")  # of these kinds a mirrored picture is as good a picture


def moves(rng: np.random.Generator, records: list[dict], side: int) -> tuple[np.ndarray, np.ndarray]:
    """What is done to the pictures: which are mirrored, and shifts (down, right) by a few pixels."""
    mirror = rng.random(len(records)) < 0.5
    mirror &= np.array([r["t"] in MIRRORED for r in records])
    return mirror, rng.integers(-(side // 16), side // 16 + 1, (len(records), 2))


def moved(record: dict, mirror: bool, shift: np.ndarray, side: int) -> dict:
    """The record of a picture after it was mirrored and shifted: its boxes move along."""

    def move(box):
        x1, y1, x2, y2 = (1 - box[2], box[1], 1 - box[0], box[3]) if mirror else box
        # The pixels at the edge are repeated, so what touched it still does.
        down, right = shift / side
        low, high = (lambda v, d: v + d if v > 0 else 0.0), (lambda v, d: v + d if v < 1 else 1.0)
        corners = low(x1, right), low(y1, down), high(x2, right), high(y2, down)
        return [float(min(max(v, 0.0), 1.0)) for v in corners]

    if "box" in record:
        return record | {"box": move(record["box"])}
    return record | {"boxes": [move(b) for b in record["boxes"]]} if "boxes" in record else record


def augment(rng: np.random.Generator, tiles: np.ndarray, mirror: np.ndarray, shifts: np.ndarray, side: int) -> np.ndarray:
    """Pictures mirrored and shifted as told, with mild changes of light and colour; resized to the side."""
    out = resize(tiles, side).astype(np.float32)
    n, s = len(out), side
    gains = rng.normal(1, 0.07, (n, 1, 1, 1)) + rng.normal(0, 0.04, (n, 1, 1, 3))
    lifts = rng.normal(0, 8, (n, 1, 1, 1))
    for i in range(n):
        if mirror[i]:
            out[i] = out[i, :, ::-1]
        dy, dx = shifts[i]
        rows, cols = np.clip(np.arange(s) - dy, 0, s - 1), np.clip(np.arange(s) - dx, 0, s - 1)
        out[i] = out[i][rows][:, cols]
    return np.clip(out * gains + lifts, 0, 255).astype(np.uint8)


def resize(tiles: np.ndarray, side: int) -> np.ndarray:
    """Tiles [T, S, S, 3] at another side, antialiased."""
    if tiles.shape[1] == side:
        return tiles
    image = torch.from_numpy(tiles).permute(0, 3, 1, 2)
    return F.interpolate(image, size=(side, side), mode="bilinear", antialias=True).permute(0, 2, 3, 1).numpy()


class Source:
    """Training data of all stages."""

    def __init__(self, state: Path, cfg: dict, tokenizer: Tokenizer):
        self.tok, self.seed = tokenizer, cfg["data"]["seed"]
        self.text_budget = cfg["data"]["text_tokens"]
        self.folder, self.shards = state / f"train_{cfg['model']['tile']}", cfg["data"]["shards"]
        self.mix, self.short = cfg["data"]["mix"], cfg["data"]["short"]
        self.only_core, self.boxes = cfg["data"]["only_core"], cfg["data"].get("boxes", False)
        self.usable: dict[str, list[tuple[int, int]]] = {}
        self.glosses = glosses.glosses(state)
        self.patch = cfg["model"]["patch"]
        self.sides = sorted({s["tile"] for s in cfg["stage"] if "tile" in s})
        self.open = tokenizer.head()
        self.cache: dict[str, list[int]] = {}

    def load(self) -> None:
        """The pictures, held in memory: pages of a mapped file that is read at random are dropped on a busy machine."""
        names = [self.folder / f"shard_{k:03}" for k in range(self.shards)]
        self.tiles = [np.load(n.with_suffix(".npy")) for n in names]
        self.records = [json.loads(n.with_suffix(".json").read_text()) for n in names]
        if not self.boxes:
            self.records = [[{k: v for k, v in r.items() if k not in ("box", "boxes")} for r in part] for part in self.records]
        for k, records in enumerate(self.records):
            for i, r in enumerate(records):
                task = "shape" if r["t"] == "two" else r["t"]
                if task in self.mix and questions.knows(r, self.only_core):
                    self.usable.setdefault(task, []).append((k, i))

    def visual(self, tile: int) -> int:
        return (tile // self.patch // 2) ** 2

    def image(self, tile: int) -> list[int]:
        return self.pieces("<img>" + "<IMG_CONTEXT>" * self.visual(tile) + "</img>\n")

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

    def images(self, rng, batch: int, what: str, tile: int) -> list[Batch]:
        """GROUP batches of pictures at a tile side: conversations of like length together, so that little is padded."""
        if not self.usable:
            self.load()
        weights = np.array(list(self.mix.values()))
        tasks = rng.choice(list(self.mix), size=batch * GROUP, p=weights / weights.sum())
        places = [questions.one(rng, self.usable[t]) for t in tasks]
        records = [self.records[k][i] for k, i in places]
        mirror, shifts = moves(rng, records, tile)
        records = [moved(r, m, d, tile) for r, m, d in zip(records, mirror, shifts, strict=True)]
        head = self.open + self.image(tile)
        rows = []
        for record in records:
            # Most pictures are asked about once: names are learned from pictures, not from further questions.
            most = 1 if rng.random() < self.short else 3
            rows.append(self.conversation(self.turns(rng, record, what, most), head, self.text_budget))
        order = np.argsort([len(ids) for ids, _ in rows], kind="stable").reshape(GROUP, batch)
        out = []
        for chosen in rng.permutation(order):
            mine = [rows[i] for i in chosen]
            ids, targets = self.pad(mine, max(len(ids) for ids, _ in mine))
            tiles = np.stack([self.tiles[places[i][0]][places[i][1]] for i in chosen])
            tiles = augment(rng, tiles, mirror[chosen], shifts[chosen], tile)
            out.append(Batch(ids, targets, torch.from_numpy(tiles), len(self.open) + 1, len(self.open) + 1))
        return out

    def described(self, rng) -> tuple[list[int], list[int]]:
        """A conversation about a picture given in words, which stand in place of its visual tokens: so the language
        model learns to read that place, before there is anything to see in it."""
        record = next(fake_records(rng, 1))
        words = self.pieces(questions.caption(record))
        room = self.visual(int(rng.choice(self.sides)))
        words = (words * room)[:room]
        head = self.open + self.pieces("<img>") + words + self.pieces("</img>\n")
        return self.conversation(questions.turns(rng, record, 3), head, self.text_budget)

    def text(self, rng, batch: int) -> list[Batch]:
        """GROUP batches without pictures: plain language (glosses, captions), conversation, pictures in words."""
        rows = []
        for _ in range(batch * GROUP):
            roll = rng.random()
            if roll < 0.2:
                line = questions.one(rng, self.glosses) if rng.random() < 0.7 else questions.caption(next(fake_records(rng, 1)))
                ids = [1, *self.tok.pieces(line + "\n")]
                rows.append((ids, [IGNORE, *ids[1:]]))
            elif roll < 0.4:
                rows.append(self.conversation(questions.text_turns(rng), self.open, self.text_budget))
            else:
                rows.append(self.described(rng))
        order = np.argsort([len(ids) for ids, _ in rows], kind="stable").reshape(GROUP, batch)
        chosen = [[rows[i] for i in part] for part in rng.permutation(order)]
        return [Batch(*self.pad(mine, max(len(ids) for ids, _ in mine)), None, None) for mine in chosen]

    def pad(self, rows: list[tuple[list[int], list[int]]], length: int) -> tuple[Tensor, Tensor]:
        """Right-padded (harmless: attention is causal), targets shifted to the position that predicts them."""
        ids = torch.full((len(rows), length), 2, dtype=torch.long)
        targets = torch.full((len(rows), length), IGNORE, dtype=torch.long)
        for i, (row, target) in enumerate(rows):
            n = min(len(row), length)
            ids[i, :n] = torch.tensor(row[:n])
            targets[i, : n - 1] = torch.tensor(target[1:n])
        return ids, targets

    def group(self, stage: int, number: int, spec: dict) -> list[Batch]:
        """The batches of steps GROUP * number and on of a stage."""
        rng = np.random.default_rng([self.seed, stage, number])
        every = spec.get("text_every", 0)
        if spec["data"] == "text" or (every and number % every == every - 1):
            return self.text(rng, spec["batch"])
        return self.images(rng, spec["batch"], spec["data"], spec["tile"])
