"""Mono-InternVL in PyTorch: a decoder whose visual tokens take their own experts.

Tensor names and layouts are those of the official checkpoints (InternLM2 with interleaved `wqkv`,
`feed_forward_ve`, and for 1.5 `attention.wqkv_ve` / `attention.wo_ve`), so `state_dict()` is the checkpoint.

Routing takes a `Route`: in training every sequence of a batch has its image at the same offset, so the
visual rows are a slice and no row is computed twice; any other layout passes a boolean mask.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class ModelConfig:
    """Sizes of the model; `visual_attention` is `none` (1.0), `qkv` or `qkvo` (1.5)."""

    vocab_size: int = 1536
    hidden_size: int = 256
    layers: int = 6
    heads: int = 8
    kv_heads: int = 2
    intermediate_size: int = 512
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: dict | None = None
    max_positions: int = 1024
    tile: int = 64
    patch: int = 8
    vision_size: int = 192
    vision_image_size: int = 64
    visual_attention: str = "qkvo"
    image_token: int = field(default=-1)

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.heads

    @property
    def visual_tokens(self) -> int:
        """Visual tokens of one tile after the 2x2 pixel shuffle."""
        return (self.tile // self.patch // 2) ** 2


Rope = tuple[Tensor, Tensor]
KeyValue = tuple[Tensor, Tensor]


@dataclass
class Route:
    """Which rows are visual: a slice of positions common to the batch, a mask [B, N], or none."""

    start: int = 0
    stop: int = 0
    mask: Tensor | None = None

    def __call__(self, x: Tensor, text: nn.Module, visual: nn.Module | None) -> Tensor:
        """Applies `text` to the text rows of x and `visual` to the visual ones."""
        if visual is None or (self.mask is None and self.stop <= self.start):
            return text(x)
        if self.mask is not None:
            return torch.where(self.mask[..., None], visual(x), text(x))
        a, b = self.start, self.stop
        before, after = text(torch.cat([x[:, :a], x[:, b:]], 1)).split([a, x.shape[1] - b], 1)
        return torch.cat([before, visual(x[:, a:b]), after], 1)


class RMSNorm(nn.Module):
    """x / rms(x), statistics in f32, cast to the weight's type before the scale."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)
        return x.to(self.weight.dtype) * self.weight


def linear(n_in: int, n_out: int) -> nn.Linear:
    return nn.Linear(n_in, n_out, bias=False)


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, size: int, inner: int):
        super().__init__()
        self.w1, self.w3, self.w2 = linear(size, inner), linear(size, inner), linear(inner, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


def rope_tables(cfg: ModelConfig, total: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin [N, d/2] of half-split RoPE at positions 0..total-1."""
    d, base, pos = cfg.head_size, cfg.rope_theta, torch.arange(total, device=device).float()
    scaling = cfg.rope_scaling
    if scaling and scaling["type"] == "linear":
        pos = pos / scaling["factor"]
    if scaling and scaling["type"] == "dynamic" and total > cfg.max_positions:
        f = scaling["factor"]
        base = base * (f * total / cfg.max_positions - (f - 1)) ** (d / (d - 2))
    inv = base ** -(torch.arange(0, d, 2, device=pos.device).float() / d)
    angle = pos[:, None] * inv
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Attention(nn.Module):
    """Grouped-query causal attention; projections routed by modality when visual experts exist."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.cfg = cfg
        size, d = cfg.hidden_size, cfg.head_size
        rows = (cfg.heads + 2 * cfg.kv_heads) * d
        self.wqkv, self.wo = linear(size, rows), linear(cfg.heads * d, size)
        self.wqkv_ve = linear(size, rows) if cfg.visual_attention in ("qkv", "qkvo") else None
        self.wo_ve = linear(cfg.heads * d, size) if cfg.visual_attention == "qkvo" else None

    def forward(self, x: Tensor, route: Route, rope: Rope, past: KeyValue | None = None) -> tuple[Tensor, KeyValue]:
        """Heads' outputs before the output projection, and the keys and values of these rows. `past` (batch 1)
        are keys and values of positions before them that all rows of the batch share."""
        c = self.cfg
        batch, n, _ = x.shape
        k_heads, group, d = c.kv_heads, c.heads // c.kv_heads, c.head_size
        qkv = route(x, self.wqkv, self.wqkv_ve).view(batch, n, k_heads, group + 2, d).permute(0, 2, 3, 1, 4)
        cos, sin = (t.to(qkv.dtype) for t in rope)
        qk = rotate(qkv[:, :, : group + 1], cos, sin)
        q = (qk[:, :, :group] * d**-0.5).reshape(batch, k_heads, group * n, d)
        k, v = qk[:, :, group], qkv[:, :, group + 1]
        own = (k, v)
        if past is not None:
            k, v = (torch.cat([p.expand(batch, -1, -1, -1), t], 2) for p, t in zip(past, own, strict=True))
        total = k.shape[2]
        bias = torch.full((n, total), float("-inf"), device=x.device).triu(1 + total - n)
        scores = (q @ k.transpose(-1, -2)).float().view(batch, k_heads, group, n, total) + bias
        probs = scores.softmax(-1).to(v.dtype).view(batch, k_heads, group * n, total)
        out = (probs @ v).view(batch, k_heads * group, n, d).transpose(1, 2).reshape(batch, n, -1)
        return out, own


class Layer(nn.Module):
    """Pre-norm decoder layer with static modality routing."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.attention = Attention(cfg)
        self.feed_forward = FeedForward(cfg.hidden_size, cfg.intermediate_size)
        self.feed_forward_ve = FeedForward(cfg.hidden_size, cfg.intermediate_size)
        self.attention_norm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)
        self.ffn_norm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)

    def forward(
        self, x: Tensor, route: Route, rope: Rope, past: KeyValue | None = None, rows: Tensor | None = None
    ) -> tuple[Tensor, KeyValue]:
        """The residual stream after the layer; with a mask `rows` only of those rows, which must be text."""
        out, own = self.attention(self.attention_norm(x), route, rope, past)
        if rows is not None:
            x, out, route = x[rows], out[rows], Route()
        x = x + route(out, self.attention.wo, self.attention.wo_ve)
        return x + route(self.ffn_norm(x), self.feed_forward, self.feed_forward_ve), own


class Decoder(nn.Module):
    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.tok_embeddings = nn.Embedding(cfg.vocab_size, cfg.hidden_size)
        self.layers = nn.ModuleList(Layer(cfg) for _ in range(cfg.layers))
        self.norm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)


class LanguageModel(nn.Module):
    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.model = Decoder(cfg)
        self.output = linear(cfg.hidden_size, cfg.vocab_size)


class Embeddings(nn.Module):
    """Patch embedding with learned positions; the class token is kept for the official layout only."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.cfg = cfg
        grid = cfg.vision_image_size // cfg.patch
        self.class_embedding = nn.Parameter(torch.zeros(1, 1, cfg.vision_size))
        self.patch_embedding = nn.Conv2d(3, cfg.vision_size, cfg.patch, cfg.patch)
        self.position_embedding = nn.Parameter(torch.zeros(1, 1 + grid * grid, cfg.vision_size))

    def positions(self, side: int) -> Tensor:
        """The position table at side x side patches, bicubically interpolated when the size differs."""
        table = self.position_embedding[:, 1:]
        grid = int(table.shape[1] ** 0.5)
        if grid == side:
            return table
        image = table.float().view(1, grid, grid, -1).permute(0, 3, 1, 2)
        image = F.interpolate(image, size=(side, side), mode="bicubic", align_corners=False)
        return image.flatten(2).transpose(1, 2).to(table.dtype)

    def forward(self, pixels: Tensor) -> Tensor:
        p = self.cfg.patch
        t, c, s, _ = pixels.shape
        n = s // p
        rows = pixels.reshape(t, c, n, p, n, p).permute(0, 2, 4, 1, 3, 5).reshape(t, n * n, c * p * p)
        w = self.patch_embedding
        return F.linear(rows, w.weight.flatten(1), w.bias) + self.positions(n)


class Vision(nn.Module):
    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.embeddings = Embeddings(cfg)


class MonoInternVL(nn.Module):
    """The whole model. `forward` returns hidden states after the final norm; `logits` projects rows of them."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.cfg = cfg
        wide = 4 * cfg.vision_size
        self.vision_model = Vision(cfg)
        self.mlp1 = nn.Sequential(
            nn.LayerNorm(wide), nn.Linear(wide, cfg.hidden_size), nn.GELU(), nn.Linear(cfg.hidden_size, cfg.hidden_size)
        )
        self.language_model = LanguageModel(cfg)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        """Initial weights: normal 0.02, residual projections smaller; visual experts equal the text experts."""
        for name, p in self.named_parameters():
            if p.dim() > 1:
                residual = name.endswith(("wo.weight", "w2.weight", "wo_ve.weight"))
                p.normal_(0, 0.03 / ((2 * self.cfg.layers) ** 0.5 if residual else 1))
            elif name.endswith("bias"):
                p.zero_()
        self.copy_text_experts()

    @torch.no_grad()
    def copy_text_experts(self) -> None:
        """Visual experts start from the text experts' weights (EViP)."""
        own = dict(self.named_parameters())
        for name, p in own.items():
            if "_ve." in name:
                p.copy_(own[name.replace("_ve.", ".")])

    def visual_embeddings(self, pixels: Tensor) -> Tensor:
        """Pixels [T, 3, S, S] -> visual tokens [T, n, D] (pixel shuffle v2, row-major)."""
        x = self.vision_model.embeddings(pixels)
        t, n, c = x.shape
        g = int(n**0.5)
        x = x.view(t, g // 2, 2, g // 2, 2, c).transpose(2, 3).reshape(t, n // 4, 4 * c)
        return self.mlp1(x)

    def forward(
        self, ids: Tensor, pixels: Tensor | None, start: int | None = None, shared: int = 0, rows: Tensor | None = None
    ) -> Tensor:
        """Hidden states after the final norm, [B, N, D], or [R, D] with a mask `rows` of text positions.

        With `start` the image occupies that slice in every row of the batch, one tile each; without it the
        visual rows are those whose id is the image context token. The first `shared` positions are known to be
        the same text in all rows (the system prompt) and are computed once; their hidden states are not returned.
        """
        embed = self.language_model.model.tok_embeddings
        x, route = embed(ids[:, shared:]), Route()
        if pixels is not None:
            vis = self.visual_embeddings(pixels).to(x.dtype)
            if start is not None:
                a = start - shared
                route = Route(a, a + vis.shape[1])
                x = torch.cat([x[:, :a], vis, x[:, route.stop :]], 1)
            else:
                mask = ids[:, shared:] == self.cfg.image_token
                x = x.clone()
                x[mask] = vis.flatten(0, 1)
                route = Route(mask=mask)
        head = embed(ids[:1, :shared]) if shared else None
        cos, sin = rope_tables(self.cfg, ids.shape[1], ids.device)
        layers = self.language_model.model.layers
        for i, layer in enumerate(layers):
            past = None
            if head is not None:
                head, past = layer(head, Route(), (cos[:shared], sin[:shared]))
            last = rows[:, shared:] if rows is not None and i == len(layers) - 1 else None
            x, _ = layer(x, route, (cos[shared:], sin[shared:]), past, last)
        return self.language_model.model.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.language_model.output(hidden).float()
