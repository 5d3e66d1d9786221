"""The whole decoder in PyTorch, written as the official code is: eager attention with a softmax in f32, both experts for every
row of a prompt, keys and values joined anew each step. 24 layers deep, of four layers' weights: each is many times larger than
a cache, so they are read from memory as those of 24 would be."""

import torch
import torch.nn.functional as F

from bench import ours
from bench.report import Row
from bench.sizes import LAYERS, MODEL, VOCAB, Sizes
from bench.timing import Timing, measure

from .torch_blocks import Expert, _weight, has_bf16

DISTINCT = 4
TOKENS = 16


class Layer:
    """One decoder layer of the official code."""

    def __init__(self, sizes: Sizes, dtype: torch.dtype):
        self.sizes = sizes
        self.attention_norm, self.ffn_norm = (torch.ones(sizes.hidden, dtype=dtype) for _ in range(2))
        self.wqkv = _weight(sizes.qkv, sizes.hidden, dtype)
        self.wo = _weight(sizes.hidden, sizes.hidden, dtype)
        self.text, self.visual = Expert(sizes, dtype), Expert(sizes, dtype)

    def __call__(self, x, past, mask, cos, sin, visual):
        a, past = self._attention(_rms_norm(x, self.attention_norm), past, mask, cos, sin)
        x = x + a
        z = _rms_norm(x, self.ffn_norm)
        if visual is None:
            return x + self.text(z), past
        return x + self.text(z) * (1 - visual) + self.visual(z) * visual, past

    def _attention(self, y, past, mask, cos, sin):
        s, rows = self.sizes, len(y)
        groups = s.heads // s.kv_heads
        # Grouped as the checkpoint is: for each head of keys its queries, the key and the value.
        qkv = F.linear(y, self.wqkv).view(rows, s.kv_heads, groups + 2, s.head)
        q = qkv[:, :, :groups].reshape(rows, s.heads, s.head).transpose(0, 1)
        k, v = (qkv[:, :, groups + i].transpose(0, 1) for i in range(2))
        q, k = (t * cos + _rotated(t) * sin for t in (q, k))
        if past is not None:
            k, v = torch.cat((past[0], k), 1), torch.cat((past[1], v), 1)
        keys, values = (t.repeat_interleave(groups, 0) for t in (k, v))
        scores = torch.matmul(q, keys.transpose(1, 2)) / s.head**0.5 + mask
        weights = F.softmax(scores, -1, dtype=torch.float32).to(q.dtype)
        out = torch.matmul(weights, values).transpose(0, 1).reshape(rows, -1)
        return F.linear(out, self.wo), (k, v)


def _rotated(x: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)


def _rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


class Model:
    """Embedding, layers, norm and head."""

    def __init__(self, dtype: torch.dtype):
        self.dtype = dtype
        self.layers = [Layer(MODEL, dtype) for _ in range(DISTINCT)]
        self.table = _weight(VOCAB, MODEL.hidden, dtype)
        self.norm = torch.ones(MODEL.hidden, dtype=dtype)

    def step(self, ids, visual, past):
        """Ids to the next one."""
        rows, depth = len(ids), 0 if past is None else past[0][0].shape[1]
        frequencies = 1e6 ** (-torch.arange(0, MODEL.head, 2) / MODEL.head)
        angles = torch.outer(torch.arange(depth, depth + rows), frequencies).repeat(1, 2)
        cos, sin = angles.cos().to(self.dtype), angles.sin().to(self.dtype)
        mask = torch.full((rows, depth + rows), torch.finfo(self.dtype).min, dtype=self.dtype).triu(depth + 1)
        x = F.embedding(ids, self.table)
        kept = []
        for i in range(LAYERS):
            before = None if past is None else past[i]
            x, after = self.layers[i % DISTINCT](x, before, mask, cos, sin, visual)
            kept.append(after)
        # The official code computes logits of all rows; the last alone is what counts, in its favour.
        logits = F.linear(_rms_norm(x[-1:], self.norm), self.table).float()
        return logits.argmax(-1), kept

    def prefill(self, rows: int, visual: int):
        ids = torch.randint(0, VOCAB, (rows,))
        mask = torch.zeros(rows, 1, dtype=self.dtype)
        mask[27 : 27 + visual] = 1
        return self.step(ids, mask, None)

    def decode(self, tokens: int, past) -> None:
        ids = torch.tensor([7])
        for _ in range(tokens):
            ids, past = self.step(ids, None, past)


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
        model = Model(dtype)
        # Minutes a run where bf16 has no instructions of its own: one is enough.
        fast = dtype == torch.float32 or has_bf16()
        timing = measure(lambda m=model: m.prefill(310, 256), repeat if fast else 1, warm_up=fast)
        rows.append(_row("prefill, 310 tokens, 256 visual", name, timing, mine["pp 310"]))
        past = _noise(dtype)
        timing = measure(lambda m=model, p=past: m.decode(TOKENS, p), repeat).scaled(1 / TOKENS)
        rows.append(_row("decode, a token after 310", name, timing, mine[f"tg {TOKENS} @ 310"]))
        del model
    return rows, NOTE


@torch.inference_mode()
def run_long(repeat: int) -> tuple[list[Row], str]:
    """A longer prompt, a part of its own as it takes minutes: in bf16 only where that has instructions."""
    mine = ours.bench("--pp=822", "--tg=0", repeat=repeat)
    rows = []
    for dtype, name in ((torch.float32, "f32"), *(((torch.bfloat16, "bf16"),) if has_bf16() else ())):
        model = Model(dtype)
        timing = measure(lambda m=model: m.prefill(822, 768), repeat)
        rows.append(_row("prefill, 822 tokens, 768 visual", name, timing, mine["pp 822"]))
        del model
    return rows, NOTE


def _noise(dtype: torch.dtype) -> list:
    def one() -> torch.Tensor:
        return torch.randn(MODEL.kv_heads, 310, MODEL.head).to(dtype)

    return [(one(), one()) for _ in range(LAYERS)]


def _row(test: str, numbers: str, theirs: Timing, mine: Timing) -> Row:
    return Row(test, "PyTorch, official way", numbers, theirs, "bf16", mine)
