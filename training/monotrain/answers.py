"""Greedy answers from PyTorch, batched over prompts of equal length."""

import torch

from .batches import normalise
from .model import MonoInternVL
from .tokenizer import Tokenizer


@torch.no_grad()
def answer(
    model: MonoInternVL, tok: Tokenizer, question: str, tiles: torch.Tensor | None, limit: int = 10, history=()
) -> list[str]:
    """Answers to one question about each of the tiles [T, S, S, 3] (one answer without tiles)."""
    p = next(model.parameters())
    n = 0 if tiles is None else len(tiles)
    prompt = tok.prompt(question, model.cfg.visual_tokens if n else 0, history)
    ids = torch.tensor([prompt] * max(n, 1), device=p.device)
    pixels = None if tiles is None else normalise(tiles).to(p.device, p.dtype)
    start = prompt.index(tok.image) if n else None
    done = torch.zeros(len(ids), dtype=torch.bool, device=p.device)
    for _ in range(limit):
        hidden = model(ids, pixels, start)
        best = model.logits(hidden[:, -1]).argmax(-1)
        ids = torch.cat([ids, best[:, None]], 1)
        done |= (best == tok.im_end) | (best == 2)
        if bool(done.all()):
            break
    return [tok.decode(row[len(prompt) :].tolist()) for row in ids]
