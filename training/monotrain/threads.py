"""Chooses the number of threads on a machine shared with other work.

Two threads that wait for each other at every operator can be far slower than one when the cores are
busy; so each count is tried for a few steps now and then, and the faster one kept.
"""

import time

import torch


class Threads:
    """Call `tick` after every step."""

    def __init__(self, most: int, every: int = 150, tries: int = 5):
        self.most, self.every, self.tries = most, every, tries
        self.step, self.mark = 0, time.time()
        self.times: dict[int, list[float]] = {1: [], most: []}
        torch.set_num_threads(1)

    def tick(self) -> None:
        now = time.time()
        took, self.mark = now - self.mark, now
        if self.most < 2:
            return
        place = self.step % self.every
        self.step += 1
        if place < 2 * self.tries:
            self.times[torch.get_num_threads()].append(took)
        if place == self.tries - 1:
            torch.set_num_threads(self.most)
        elif place == 2 * self.tries - 1:
            # The first step after a change is left out: it warms up.
            mean = {k: sum(v[1:]) / max(1, len(v) - 1) for k, v in self.times.items() if v}
            torch.set_num_threads(min(mean, key=mean.get))
            self.times = {1: [], self.most: []}
        elif place == self.every - 1:
            torch.set_num_threads(1)
