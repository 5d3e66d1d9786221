"""Sizes of Mono-InternVL-2B's decoder, and the steps that are timed."""

import os
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Sizes:
    """Widths of a layer."""

    hidden: int = 2048
    inner: int = 8192
    heads: int = 16
    kv_heads: int = 8
    head: int = 128

    @property
    def qkv(self) -> int:
        return (self.heads + 2 * self.kv_heads) * self.head

    def request(self) -> dict:
        """As `monolens-blocks` reads them."""
        return asdict(self)


@dataclass(frozen=True)
class Step:
    """Rows of one step: tokens, how many of them are visual (one run in the middle), tokens that are there before."""

    rows: int
    visual: int = 0
    depth: int = 0

    @property
    def name(self) -> str:
        if self.rows == 1:
            return f"1 token after {self.depth}"
        return f"{self.rows} tokens, {self.visual} visual"

    def routes(self) -> tuple[list[int], list[int]]:
        """Places of the text rows and of the visual rows."""
        first = (self.rows - self.visual) // 2
        visual = range(first, first + self.visual)
        return [i for i in range(self.rows) if i not in visual], list(visual)


MODEL = Sizes()
LAYERS = 24
VOCAB = 92553
BLOCKS = ("feed_forward", "attention", "layer")
# One tile and three tiles with 54 tokens of text; a token after them.
STEPS = (Step(310, 256), Step(822, 768), Step(1, 0, 310), Step(1, 0, 2048))
# `run.py --quick` leaves the longer ones out.
QUICK = "MONOLENS_PEERS_QUICK" in os.environ
if QUICK:
    STEPS = STEPS[::2]
# For software GPUs: a layer of a quarter of the widths.
SMALL = Sizes(hidden=512, inner=2048, heads=4, kv_heads=2)
SMALL_STEPS = (Step(64, 48), Step(1, 0, 128))
