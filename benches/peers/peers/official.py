"""The models in PyTorch, written as the official code is: both experts for every row of a prompt and a blend by the mask, keys
and values joined anew each step, a softmax in f32. On any device, with a dimension for a batch of prompts of one length."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from bench.sizes import LAYERS, MODEL, VOCAB, Sizes

from .torch_blocks import Expert, _weight


@dataclass(frozen=True)
class Kind:
    """One of the models that the papers compare."""

    visual_ffn: bool
    visual_attention: bool
    # Layers of the vision encoder; Mono-InternVL has none.
    encoder: int


KINDS = {"mono": Kind(True, False, 0), "mono15": Kind(True, True, 0), "modular": Kind(False, False, 24)}


@dataclass(frozen=True)
class Place:
    """Where a model is and in which numbers; `flash` is what the official code does where flash-attn is installed."""

    dtype: torch.dtype
    device: str = "cpu"
    flash: bool = False

    def weight(self, out: int, inner: int) -> torch.Tensor:
        return _weight(out, inner, self.dtype, self.device)

    def ones(self, width: int) -> torch.Tensor:
        return torch.ones(width, dtype=self.dtype, device=self.device)


class Layer:
    """One decoder layer."""

    def __init__(self, sizes: Sizes, place: Place, kind: Kind):
        self.sizes, self.flash = sizes, place.flash
        self.attention_norm, self.ffn_norm = place.ones(sizes.hidden), place.ones(sizes.hidden)
        ways = 2 if kind.visual_attention else 1
        self.wqkv = [place.weight(sizes.qkv, sizes.hidden) for _ in range(ways)]
        self.wo = [place.weight(sizes.hidden, sizes.heads * sizes.head) for _ in range(ways)]
        self.experts = [Expert(sizes, place.dtype, place.device) for _ in range(2 if kind.visual_ffn else 1)]

    def __call__(self, x, past, mask, cos, sin, visual):
        a, past = self._attention(_rms_norm(x, self.attention_norm), past, mask, cos, sin, visual)
        x = x + a
        z = _rms_norm(x, self.ffn_norm)
        return x + _blended(self.experts, z, visual), past

    def _attention(self, y, past, mask, cos, sin, visual):
        s, (batch, rows, _) = self.sizes, y.shape
        groups = s.heads // s.kv_heads
        # Grouped as the checkpoint is: for each head of keys its queries, the key and the value.
        qkv = _blended([lambda y, w=w: F.linear(y, w) for w in self.wqkv], y, visual)
        qkv = qkv.view(batch, rows, s.kv_heads, groups + 2, s.head)
        q = qkv[:, :, :, :groups].reshape(batch, rows, s.heads, s.head).transpose(1, 2)
        k, v = (qkv[:, :, :, groups + i].transpose(1, 2) for i in range(2))
        q, k = (t * cos + _rotated(t) * sin for t in (q, k))
        if past is not None:
            k, v = torch.cat((past[0], k), 2), torch.cat((past[1], v), 2)
        keys, values = (t.repeat_interleave(groups, 1) for t in (k, v))
        if self.flash:
            # The rows of a step are a whole prompt or one a sequence.
            out = F.scaled_dot_product_attention(q, keys, values, is_causal=rows > 1)
        else:
            scores = torch.matmul(q, keys.transpose(2, 3)) / s.head**0.5 + mask
            weights = F.softmax(scores, -1, dtype=torch.float32).to(q.dtype)
            out = torch.matmul(weights, values)
        out = out.transpose(1, 2).reshape(batch, rows, -1)
        return _blended([lambda y, w=w: F.linear(y, w) for w in self.wo], out, visual), (k, v)


def _blended(ways, x, visual):
    """Text rows by the first way, visual rows by the last; without a mask, as in decoding, there is only the first."""
    if visual is None or len(ways) == 1:
        return ways[0](x)
    return ways[0](x) * (1 - visual) + ways[1](x) * visual


def _rotated(x: torch.Tensor) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat((-b, a), -1)


def _rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    wide = x.float()
    return weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


class Decoder:
    """Embedding, layers, norm and head. Of `distinct` layers' weights: each is many times larger than a CPU's cache, so they
    are read from memory as those of all layers would be."""

    def __init__(
        self, place: Place, kind: Kind, sizes: Sizes = MODEL, layers: int = LAYERS, distinct: int = 4, vocab: int = VOCAB
    ):
        self.place, self.sizes, self.vocab, self.count = place, sizes, vocab, layers
        self.layers = [Layer(sizes, place, kind) for _ in range(min(distinct, layers))]
        self.table = place.weight(vocab, sizes.hidden)
        self.norm = place.ones(sizes.hidden)

    def step(self, ids, visual, past, seen=None):
        """Ids, a row a prompt, to the next ones. `visual` says which rows are visual, `seen` what they are."""
        rows, depth = ids.shape[1], 0 if past is None else past[0][0].shape[2]
        dtype, device = self.place.dtype, self.place.device
        frequencies = 1e6 ** (-torch.arange(0, self.sizes.head, 2, device=device) / self.sizes.head)
        angles = torch.outer(torch.arange(depth, depth + rows, device=device), frequencies).repeat(1, 2)
        cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
        mask = None
        if not self.place.flash:
            least = torch.finfo(dtype).min
            mask = torch.full((rows, depth + rows), least, dtype=dtype, device=device).triu(depth + 1)
        x = F.embedding(ids, self.table)
        if seen is not None:
            x[visual] = seen
        blend = None if visual is None else visual[..., None].to(dtype)
        kept = []
        for i in range(self.count):
            before = None if past is None else past[i]
            x, after = self.layers[i % len(self.layers)](x, before, mask, cos, sin, blend)
            kept.append(after)
        # The official code computes logits of all rows; the last alone is what counts, in its favour.
        logits = F.linear(_rms_norm(x[:, -1:], self.norm), self.table).float()
        return logits.argmax(-1), kept

    def prefill(self, rows: int, visual: int, batch: int = 1, seen=None):
        """A prompt of so many rows with so many visual ones near its beginning."""
        ids = torch.randint(0, self.vocab, (batch, rows), device=self.place.device)
        mask = torch.zeros(batch, rows, dtype=torch.bool, device=self.place.device)
        first = min(27, rows - visual)
        mask[:, first : first + visual] = True
        return self.step(ids, mask, None, seen)

    def decode(self, tokens: int, ids, past) -> None:
        for _ in range(tokens):
            ids, past = self.step(ids, None, past)


class EncoderLayer:
    """One layer of the modular model's vision encoder."""

    def __init__(self, width: int, heads: int, inner: int, place: Place):
        self.heads = heads
        self.norms = [(place.ones(width), place.ones(width)) for _ in range(2)]
        sizes = {"qkv": (3 * width, width), "proj": (width, width), "fc1": (inner, width), "fc2": (width, inner)}
        self.parts = {name: (place.weight(*size), place.ones(size[0])) for name, size in sizes.items()}
        self.scales = [place.ones(width) for _ in range(2)]

    def __call__(self, x):
        tiles, rows, width = x.shape
        y = F.layer_norm(x, (width,), *self.norms[0], 1e-6)
        qkv = F.linear(y, *self.parts["qkv"]).view(tiles, rows, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*qkv).transpose(1, 2).reshape(tiles, rows, width)
        x = x + self.scales[0] * F.linear(y, *self.parts["proj"])
        y = F.gelu(F.linear(F.layer_norm(x, (width,), *self.norms[1], 1e-6), *self.parts["fc1"]))
        return x + self.scales[1] * F.linear(y, *self.parts["fc2"])


class Eyes:
    """Tiles to visual tokens: patches, the encoder if there is one, four patches to a token, two projections."""

    def __init__(self, place: Place, kind: Kind, hidden: int = MODEL.hidden, side: int = 448, width: int = 1024):
        self.place, self.side, self.along = place, side, side // 14
        self.tokens = (self.along // 2) ** 2
        self.patches = place.weight(width, 3 * 14 * 14).view(width, 3, 14, 14), place.ones(width)
        self.positions = place.weight(1 + self.along**2, width)
        self.layers = [EncoderLayer(width, width // 64, 4 * width, place) for _ in range(kind.encoder)]
        self.norm = place.ones(4 * width), place.ones(4 * width)
        self.first = place.weight(hidden, 4 * width), place.ones(hidden)
        self.second = place.weight(hidden, hidden), place.ones(hidden)

    def __call__(self, pixels):
        x = F.conv2d(pixels, *self.patches, stride=14).flatten(2).transpose(1, 2)
        x = F.pad(x, (0, 0, 1, 0)) + self.positions
        for layer in self.layers:
            x = layer(x)
        tiles, along = len(x), self.along
        x = x[:, 1:].view(tiles, along // 2, 2, along // 2, 2, -1).transpose(2, 3).reshape(tiles, self.tokens, -1)
        x = F.linear(F.layer_norm(x, x.shape[-1:], *self.norm, 1e-5), *self.first)
        return F.linear(F.gelu(x), *self.second)

    def look(self, tiles: int):
        """At so many tiles of noise; a row a visual token."""
        side, dtype = self.side, self.place.dtype
        return self(torch.randn(tiles, 3, side, side, device=self.place.device).to(dtype)).flatten(0, 1)
