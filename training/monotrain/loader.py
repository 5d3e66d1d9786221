"""Batches made ahead in worker processes, in order; the same batches as without workers."""

from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import torch

from .batches import Batch, Source
from .tokenizer import Tokenizer

_source: Source | None = None


def _begin(state: Path, cfg: dict) -> None:
    global _source
    torch.set_num_threads(1)
    _source = Source(state, cfg, Tokenizer(state / "tokenizer"))


def _make(stage: int, step: int, spec: dict) -> Batch:
    assert _source is not None
    return _source.batch(stage, step, spec)


class Loader:
    """`batch(stage, step, spec)` as of a Source; with workers the following steps are prepared meanwhile."""

    def __init__(self, state: Path, cfg: dict, workers: int):
        self.workers = workers
        self.ahead: deque[tuple[tuple[int, int], Future]] = deque()
        if workers:
            self.pool = ProcessPoolExecutor(workers, initializer=_begin, initargs=(state, cfg))
        else:
            self.source = Source(state, cfg, Tokenizer(state / "tokenizer"))

    def batch(self, stage: int, step: int, spec: dict) -> Batch:
        if not self.workers:
            return self.source.batch(stage, step, spec)
        if self.ahead and self.ahead[0][0] != (stage, step):
            for _, future in self.ahead:
                future.cancel()
            self.ahead.clear()
        upcoming = self.ahead[-1][0][1] + 1 if self.ahead else step
        for k in range(upcoming, min(step + 3 * self.workers, max(step + 1, spec["steps"]))):
            self.ahead.append(((stage, k), self.pool.submit(_make, stage, k, spec)))
        return self.ahead.popleft()[1].result()
