"""The model's small operators.

Matrix products of a step of the small checkpoint run at the core's peak (200 bf16 GFLOP/s) and take 57 % of its time.
Compiling the rest was tried and dropped: the whole step compiled, the backward pass became three times slower; these
functions alone compiled, a step gained less than 2 %.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x), statistics in f32, cast to the weight's type before the scale."""
    x = x.float()
    x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return x.to(weight.dtype) * weight


def gate(a: Tensor, b: Tensor) -> Tensor:
    """silu(a) * b"""
    return F.silu(a) * b


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Half-split rotation: the tables hold both halves, the sine with its sign."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([b, a], -1) * sin


def causal_softmax(scores: Tensor, scale: float) -> Tensor:
    """Softmax in f32 of scaled scores [..., n, total]; the n queries are the last of the total positions."""
    n, total = scores.shape[-2:]
    hidden = torch.arange(total, device=scores.device) > torch.arange(total - n, total, device=scores.device)[:, None]
    return (scores.float() * scale).masked_fill(hidden, float("-inf")).softmax(-1).to(scores.dtype)
