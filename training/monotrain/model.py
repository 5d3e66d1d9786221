"""Mono-InternVL in PyTorch: a decoder whose visual tokens take their own experts.

Tensor names and layouts are those of the official checkpoints (InternLM2 with interleaved `wqkv`,
`feed_forward_ve`, and for 1.5 `attention.wqkv_ve` / `attention.wo_ve`), so `state_dict()` is the checkpoint.

A sequence is handled as stretches of one modality (system prompt, image, conversation), each with its experts,
so that no row is computed twice and nothing is masked; the system prompt is computed once for the batch.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import pointwise


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
    experts: bool = True  # False: the image takes the text's weights too (for the ablation)
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
class Part:
    """A stretch of positions of one modality: the residual stream [B, n, D] (B = 1: common to the batch)."""

    x: Tensor
    visual: bool
    rope: Rope


class RMSNorm(nn.Module):
    """x / rms(x), statistics in f32, cast to the weight's type before the scale."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return pointwise.rms_norm(x, self.weight, self.eps)


def linear(n_in: int, n_out: int) -> nn.Linear:
    return nn.Linear(n_in, n_out, bias=False)


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x)."""

    def __init__(self, size: int, inner: int):
        super().__init__()
        self.w1, self.w3, self.w2 = linear(size, inner), linear(size, inner), linear(inner, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(pointwise.gate(self.w1(x), self.w3(x)))


def rope_tables(cfg: ModelConfig, total: int, like: Tensor) -> Rope:
    """cos and signed sin [N, d] of half-split RoPE at positions 0..total-1, in the type and place of `like`."""
    d, base, pos = cfg.head_size, cfg.rope_theta, torch.arange(total, device=like.device).float()
    scaling = cfg.rope_scaling
    if scaling and scaling["type"] == "linear":
        pos = pos / scaling["factor"]
    if scaling and scaling["type"] == "dynamic" and total > cfg.max_positions:
        f = scaling["factor"]
        base = base * (f * total / cfg.max_positions - (f - 1)) ** (d / (d - 2))
    inv = base ** -(torch.arange(0, d, 2, device=pos.device).float() / d)
    angle = pos[:, None] * inv
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], -1).to(like.dtype), torch.cat([-sin, sin], -1).to(like.dtype)


class Attention(nn.Module):
    """Grouped-query causal attention; the visual rows have their own projections where `visual_attention` says so."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.cfg = cfg
        size, d = cfg.hidden_size, cfg.head_size
        rows = (cfg.heads + 2 * cfg.kv_heads) * d
        self.wqkv, self.wo = linear(size, rows), linear(cfg.heads * d, size)
        self.wqkv_ve = linear(size, rows) if cfg.visual_attention in ("qkv", "qkvo") else None
        self.wo_ve = linear(cfg.heads * d, size) if cfg.visual_attention == "qkvo" else None

    def project(self, x: Tensor, rope: Rope, visual: bool) -> tuple[Tensor, KeyValue]:
        """Rotated, scaled queries [B, K, G, n, d] and rotated keys with values [B, K, n, d] of normed rows [B, n, D]."""
        c, (batch, n, _) = self.cfg, x.shape
        group, w = c.heads // c.kv_heads, self.wqkv_ve if visual and self.wqkv_ve is not None else self.wqkv
        qkv = w(x).view(batch, n, c.kv_heads, group + 2, c.head_size).permute(0, 2, 3, 1, 4)
        qk = pointwise.rotate(qkv[:, :, : group + 1], *rope)
        return qk[:, :, :group], (qk[:, :, group], qkv[:, :, group + 1])

    def attend(self, q: Tensor, past: list[KeyValue]) -> Tensor:
        """Heads' outputs [B, n, heads * d] of queries over all keys given; the last n of them are the queries' own."""
        batch, k_heads, group, n, d = q.shape
        k, v = (torch.cat([p.expand(batch, -1, -1, -1) for p in parts], 2) for parts in zip(*past, strict=True))
        scores = q.reshape(batch, k_heads, group * n, d) @ k.transpose(-1, -2)
        probs = pointwise.causal_softmax(scores.view(batch, k_heads, group, n, -1), d**-0.5)
        out = probs.view(batch, k_heads, group * n, -1) @ v
        return out.view(batch, k_heads * group, n, d).transpose(1, 2).reshape(batch, n, -1)

    def output(self, x: Tensor, visual: bool) -> Tensor:
        return (self.wo_ve if visual and self.wo_ve is not None else self.wo)(x)


class Layer(nn.Module):
    """Pre-norm decoder layer. Each part of the sequence is of one modality and takes its own experts."""

    def __init__(self, cfg: ModelConfig):
        super().__init__()
        self.attention = Attention(cfg)
        self.feed_forward = FeedForward(cfg.hidden_size, cfg.intermediate_size)
        self.feed_forward_ve = FeedForward(cfg.hidden_size, cfg.intermediate_size)
        self.attention_norm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)
        self.ffn_norm = RMSNorm(cfg.hidden_size, cfg.rms_norm_eps)

    def forward(self, parts: list[Part], rows: Tensor | None = None) -> list[Part]:
        """The residual streams after the layer; with a mask `rows` only the last part, and only those rows of it."""
        past: list[KeyValue] = []
        out = []
        for k, part in enumerate(parts):
            q, own = self.attention.project(self.attention_norm(part.x), part.rope, part.visual)
            past.append(own)
            if rows is not None and k + 1 < len(parts):
                continue
            x, heads = part.x, self.attention.attend(q, past)
            if rows is not None:
                x, heads = x[rows], heads[rows]
            x = x + self.attention.output(heads, part.visual)
            x = x + (self.feed_forward_ve if part.visual else self.feed_forward)(self.ffn_norm(x))
            out.append(Part(x, part.visual, part.rope))
        return out


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
        """Initial weights, for a residual stream of size one from the first layer on: embeddings of that size, matrices
        that keep it, and nothing added yet by the layers. (With small embeddings, 0.03, the first layer's additions
        grew to 100 times all that later layers added, and those learned nothing.)"""
        for name, p in self.named_parameters():
            if "tok_embeddings" in name:
                p.normal_(0, 1)
            elif name.endswith(("wo.weight", "w2.weight", "wo_ve.weight", "output.weight")):
                p.normal_(0, 0.002)
            elif p.dim() > 1 and "position" not in name:
                p.normal_(0, p[0].numel() ** -0.5)
            elif name.endswith(("bias", "position_embedding")):
                p.zero_()
        self.copy_text_experts()

    @torch.no_grad()
    def whiten(self, pixels: Tensor, floor: float = 1e-3) -> None:
        """Starts the patch embedding as a whitening of patches of these pixels: colour is 90 % of their variance, and
        edges, the rest of it, would be learned late."""
        p, w = self.cfg.patch, self.vision_model.embeddings.patch_embedding
        rows = pixels.float().unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * p * p)
        variance, axes = torch.linalg.eigh(torch.cov(rows.T))
        scale = (variance + floor * variance[-1]).rsqrt()
        basis = (axes * scale).T.flip(0)[: w.out_channels]
        w.weight[: len(basis)] = basis.view(-1, *w.weight.shape[1:]).to(w.weight.dtype)
        w.bias[: len(basis)] = -(basis @ rows.mean(0)).to(w.bias.dtype)

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
        """Hidden states after the final norm of all positions from `shared` on, [B, N, D]; with a mask `rows` [B, N]
        of positions after the image only of those, [R, D].

        With `start` the image occupies that slice in every row of the batch, one tile each; without it the stretches
        of image context tokens are found in the ids and must be the same in all rows. The first `shared` positions
        are known to be the same text in all rows (the system prompt) and are computed once.
        """
        embed = self.language_model.model.tok_embeddings
        visual = torch.zeros(ids.shape[1], dtype=torch.bool)
        vis = self.visual_embeddings(pixels) if pixels is not None else None
        if vis is not None and start is not None:
            visual[start : start + vis.shape[1]] = True
        elif vis is not None:
            visual = (ids[0] == self.cfg.image_token).cpu()
            vis = vis.reshape(len(ids), -1, vis.shape[-1])
        cos, sin = rope_tables(self.cfg, ids.shape[1], embed.weight)
        parts, used = [], 0
        cuts = [0, *(k for k in range(1, len(visual)) if visual[k] != visual[k - 1] or k == shared), len(visual)]
        for a, b in zip(cuts, cuts[1:], strict=False):
            if visual[a]:
                x, used = vis[:, used : used + b - a].to(embed.weight.dtype), used + b - a
            else:
                x = embed(ids[:1, a:b] if b <= shared else ids[:, a:b])
            parts.append(Part(x, bool(visual[a]) and self.cfg.experts, (cos[a:b], sin[a:b])))
        layers = self.language_model.model.layers
        for i, layer in enumerate(layers):
            last = rows[:, cuts[-2] :] if rows is not None and i == len(layers) - 1 else None
            parts = layer(parts, last)
        if rows is None:
            parts = [Part(torch.cat([p.x for p in parts[bool(shared) :]], 1), False, parts[0].rope)]
        return self.language_model.model.norm(parts[-1].x)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.language_model.output(hidden).float()
