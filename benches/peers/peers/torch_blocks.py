"""PyTorch on the CPU: blocks of a layer, in f32 and in bf16, routed by index as well as by computing both experts."""

import torch
import torch.nn.functional as F

from bench import ours
from bench.report import Row
from bench.sizes import BLOCKS, MODEL, STEPS, Sizes, Step
from bench.timing import measure


class Expert:
    """A SwiGLU feed-forward network."""

    def __init__(self, sizes: Sizes, dtype: torch.dtype, device: str = "cpu"):
        self.w1, self.w3 = (_weight(sizes.inner, sizes.hidden, dtype, device) for _ in range(2))
        self.w2 = _weight(sizes.hidden, sizes.inner, dtype, device)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(F.silu(F.linear(x, self.w1)) * F.linear(x, self.w3), self.w2)


def _weight(out: int, inner: int, dtype: torch.dtype, device: str = "cpu") -> torch.Tensor:
    return (torch.randn(out, inner, device=device) * inner**-0.5).to(dtype)


class Inputs:
    """What a step needs: its rows, their rotations, a cache with room for them, and where each kind of row is."""

    def __init__(self, step: Step, sizes: Sizes, dtype: torch.dtype):
        total = step.depth + step.rows
        self.step = step
        self.x = torch.randn(step.rows, sizes.hidden).to(dtype)
        frequencies = 1e6 ** (-torch.arange(0, sizes.head, 2) / sizes.head)
        angles = torch.outer(torch.arange(step.depth, total), frequencies).repeat(1, 2)
        self.cos, self.sin = angles.cos().to(dtype), angles.sin().to(dtype)
        self.keys, self.values = (torch.randn(sizes.kv_heads, total, sizes.head).to(dtype) for _ in range(2))
        text, visual = step.routes()
        self.text, self.visual = (torch.tensor(r, dtype=torch.long) for r in (text, visual))
        self.mask = torch.zeros(step.rows, 1, dtype=dtype)
        self.mask[self.visual] = 1


class Layer:
    """A decoder layer; each method gives one of the blocks that are timed."""

    def __init__(self, sizes: Sizes, dtype: torch.dtype):
        self.sizes = sizes
        self.norm = torch.ones(sizes.hidden, dtype=dtype)
        self.wqkv = _weight(sizes.qkv, sizes.hidden, dtype)
        self.wo = _weight(sizes.hidden, sizes.heads * sizes.head, dtype)
        self.experts = (Expert(sizes, dtype), Expert(sizes, dtype))

    def _normed(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (self.sizes.hidden,), self.norm, 1e-5)

    def attention(self, i: Inputs, x: torch.Tensor | None = None) -> torch.Tensor:
        s, x = self.sizes, i.x if x is None else x
        qkv = F.linear(self._normed(x), self.wqkv).view(len(x), -1, s.head).transpose(0, 1)
        q, k, v = qkv.split([s.heads, s.kv_heads, s.kv_heads])
        i.keys[:, i.step.depth :] = self._turned(k, i)
        i.values[:, i.step.depth :] = v
        q = self._turned(q, i)
        # Without its own dimension for a batch PyTorch takes a slower way.
        q, k, v = (t.unsqueeze(0) for t in (q, i.keys, i.values))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=len(x) > 1, enable_gqa=True)
        return x + F.linear(a[0].transpose(0, 1).reshape(len(x), -1), self.wo)

    @staticmethod
    def _turned(x: torch.Tensor, i: Inputs) -> torch.Tensor:
        a, b = x.chunk(2, -1)
        return x * i.cos + torch.cat((-b, a), -1) * i.sin

    def feed_forward(self, i: Inputs, x: torch.Tensor | None = None) -> torch.Tensor:
        """Rows of each kind are gathered and brought back: the fastest that PyTorch has."""
        x = i.x if x is None else x
        z = self._normed(x)
        if i.step.visual == 0:
            return x + self.experts[0](z)
        y = torch.empty_like(x)
        for rows, expert in zip((i.text, i.visual), self.experts, strict=True):
            y.index_copy_(0, rows, expert(z.index_select(0, rows)))
        return x + y

    def feed_forward_both(self, i: Inputs) -> torch.Tensor:
        """As the official code: both experts for every row, blended by the mask."""
        z = self._normed(i.x)
        return i.x + self.experts[0](z) * (1 - i.mask) + self.experts[1](z) * i.mask

    def layer(self, i: Inputs) -> torch.Tensor:
        return self.feed_forward(i, self.attention(i))


@torch.inference_mode()
def run(repeat: int) -> tuple[list[Row], str]:
    rows = []
    ours_by = {weights: ours.blocks(weights, repeat=repeat)[0] for weights in ("bf16", "f32")}
    for dtype, weights in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
        layer = Layer(MODEL, dtype)
        for step in STEPS:
            # Where bf16 has no instructions of its own, 822 rows take minutes.
            slow = dtype == torch.bfloat16 and step.rows > 310 and not has_bf16()
            if slow:
                continue
            i = Inputs(step, MODEL, dtype)
            for block in BLOCKS:
                work = getattr(layer, block)
                timing = measure(lambda f=work, i=i: f(i), repeat)
                rows.append(_row(block, step, "gathered", weights, timing, weights, ours_by))
                if weights == "f32":
                    # The published weights are bf16: Monolens reads them as they are.
                    rows.append(_row(block, step, "gathered", weights, timing, "bf16", ours_by))
            if step.visual:
                timing = measure(lambda f=layer.feed_forward_both, i=i: f(i), repeat)
                rows.append(_row("feed_forward", step, "both experts", weights, timing, weights, ours_by))
    capability = torch.backends.cpu.get_cpu_capability()
    return rows, f"PyTorch {torch.__version__}, {capability}, {torch.get_num_threads()} threads."


def has_bf16() -> bool:
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _row(block, step, way, theirs, timing, weights, ours_by) -> Row:
    way = f" ({way})" if step.visual and block != "attention" else ""
    return Row(f"{block.replace('_', '-')}, {step.name}", f"PyTorch{way}", theirs, timing, weights, ours_by[weights][block, step])
