"""Repeated measurements, as `monolens bench` takes them: one that does not count, then the median and the spread."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Timing:
    """Seconds of one thing, measured several times."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> float:
        """From the least to the largest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median

    def scaled(self, factor: float) -> "Timing":
        return Timing(tuple(s * factor for s in self.seconds))


def measure(work: Callable[[], object], repeat: int, warm_up: bool = True) -> Timing:
    """Runs `work` once without counting, then `repeat` times."""
    if warm_up:
        work()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return Timing(tuple(seconds))
