"""Batches made ahead in worker processes, in order; the same batches as without workers."""

import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import torch

from .batches import GROUP, Batch, Source
from .tokenizer import Tokenizer

_source: Source | None = None


def _begin(state: Path, cfg: dict) -> None:
    global _source
    torch.set_num_threads(1)
    os.nice(max(0, 5 - os.nice(0)))  # the trainer comes first
    _source = Source(state, cfg, Tokenizer(state / "tokenizer"))


def _make(stage: int, number: int, spec: dict) -> list[Batch]:
    assert _source is not None
    return _source.group(stage, number, spec)


class Loader:
    """`batch(stage, step, spec)`; with workers the following groups are prepared meanwhile, without in this process."""

    def __init__(self, state: Path, cfg: dict, workers: int):
        self.workers = workers
        self.ahead: deque[tuple[tuple[int, int], Future]] = deque()
        self.place: tuple[int, int] | None = None
        self.group: list[Batch] = []
        if workers:
            self.pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(state, cfg))
        else:
            self.source = Source(state, cfg, Tokenizer(state / "tokenizer"))

    def batch(self, stage: int, step: int, spec: dict) -> Batch:
        place = stage, step // GROUP
        if place != self.place:
            self.place, self.group = place, self.fetch(*place, spec)
        return self.group[step % GROUP]

    def fetch(self, stage: int, number: int, spec: dict) -> list[Batch]:
        if not self.workers:
            return self.source.group(stage, number, spec)
        if self.ahead and self.ahead[0][0] != (stage, number):
            for _, future in self.ahead:
                future.cancel()
            self.ahead.clear()
        upcoming = self.ahead[-1][0][1] + 1 if self.ahead else number
        last = -(-spec["steps"] // GROUP)
        for k in range(upcoming, min(number + 2 * self.workers + 1, max(number + 1, last))):
            self.ahead.append(((stage, k), self.pool.submit(_make, stage, k, spec)))
        return self.ahead.popleft()[1].result()
