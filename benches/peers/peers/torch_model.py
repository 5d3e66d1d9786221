"""The whole decoder in PyTorch on the CPU, written as the official code is (official.py)."""

import torch

from bench import ours
from bench.report import Row
from bench.sizes import LAYERS, MODEL
from bench.timing import Timing, measure

from .official import KINDS, Decoder, Place
from .torch_blocks import has_bf16

TOKENS = 16

NOTE = (
    f"PyTorch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}. It computes both experts for all rows of a prompt, "
    "as the official code does. Monolens' prompts are of text alone, for it the same work: each row goes through one expert."
)


@torch.inference_mode()
def run(repeat: int) -> tuple[list[Row], str]:
    mine = ours.bench("--pp=310", "--tg=0", repeat=repeat)
    mine |= ours.bench("--pp=0", f"--tg={TOKENS}", "--depth=310", repeat=repeat)
    rows = []
    for dtype, name in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
        model = Decoder(Place(dtype), KINDS["mono"])
        # Minutes a run where bf16 has no instructions of its own: one is enough.
        fast = dtype == torch.float32 or has_bf16()
        timing = measure(lambda m=model: m.prefill(310, 256), repeat if fast else 1, warm_up=fast)
        rows.append(_row("prefill, 310 tokens, 256 visual", name, timing, mine["pp 310"]))
        past = _noise(dtype)
        timing = measure(lambda m=model, p=past: m.decode(TOKENS, torch.tensor([[7]]), p), repeat).scaled(1 / TOKENS)
        rows.append(_row("decode, a token after 310", name, timing, mine[f"tg {TOKENS} @ 310"]))
        del model
    return rows, NOTE


@torch.inference_mode()
def run_long(repeat: int) -> tuple[list[Row], str]:
    """A longer prompt, a part of its own as it takes minutes: in bf16 only where that has instructions."""
    mine = ours.bench("--pp=822", "--tg=0", repeat=repeat)
    rows = []
    for dtype, name in ((torch.float32, "f32"), *(((torch.bfloat16, "bf16"),) if has_bf16() else ())):
        model = Decoder(Place(dtype), KINDS["mono"])
        timing = measure(lambda m=model: m.prefill(822, 768), repeat)
        rows.append(_row("prefill, 822 tokens, 768 visual", name, timing, mine["pp 822"]))
        del model
    return rows, NOTE


def _noise(dtype: torch.dtype) -> list:
    def one() -> torch.Tensor:
        return torch.randn(1, MODEL.kv_heads, 310, MODEL.head).to(dtype)

    return [(one(), one()) for _ in range(LAYERS)]


def _row(test: str, numbers: str, theirs: Timing, mine: Timing) -> Row:
    return Row(test, "PyTorch, official way", numbers, theirs, "bf16", mine)
