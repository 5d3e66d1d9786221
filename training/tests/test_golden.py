"""The PyTorch model against the goldens of the official code, so that what it writes runs in the engine."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from monotrain import checkpoint

GOLDEN = Path(os.environ.get("MONOLENS_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
CASES = [("mono-v1", "single", "logits"), ("mono-v1", "text", "logits"), ("mono-v15", "single", "logits")]


@pytest.mark.parametrize("folder,case,what", CASES)
def test_logits_match_the_reference(folder, case, what):
    if not (GOLDEN / folder).is_dir():
        pytest.skip("goldens not at hand")
    model = checkpoint.load(GOLDEN / folder)
    g = load_file(GOLDEN / folder / "golden.safetensors")
    pixels = None
    if f"{case}.tiles_u8" in g:
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        pixels = ((g[f"{case}.tiles_u8"].float() / 255 - mean) / std).permute(0, 3, 1, 2)
        vis = model.visual_embeddings(pixels)
        assert (vis - g[f"{case}.vit_embeds"]).abs().max() < 1e-3
    with torch.no_grad():
        logits = model.logits(model(g[f"{case}.input_ids"], pixels))
    key = f"{case}.{what}"
    want = g[key] if key in g else g[f"{case}.logits_last8"]
    assert (logits[:, -want.shape[1] :] - want).abs().max() < 1e-3


def test_slice_routing_equals_mask_routing():
    torch.manual_seed(0)
    cfg = checkpoint.ModelConfig(vocab_size=300, hidden_size=64, layers=2, intermediate_size=96, image_token=299)
    model = checkpoint.MonoInternVL(cfg)
    for p in model.parameters():
        torch.nn.init.normal_(p, 0, 0.05)
    ids = torch.randint(0, 298, (2, 40))
    ids[:, 5 : 5 + cfg.visual_tokens] = 299
    pixels = torch.randn(2, 3, 64, 64)
    assert torch.allclose(model(ids, pixels), model(ids, pixels, start=5), atol=1e-4)


def test_shared_head_and_chosen_rows_change_nothing():
    torch.manual_seed(1)
    cfg = checkpoint.ModelConfig(vocab_size=300, hidden_size=64, layers=3, intermediate_size=96, image_token=299)
    model = checkpoint.MonoInternVL(cfg)
    for p in model.parameters():
        torch.nn.init.normal_(p, 0, 0.05)
    ids = torch.randint(0, 298, (2, 40))
    ids[1, :5] = ids[0, :5]
    pixels = torch.randn(2, 3, 64, 64)
    rows = torch.zeros(2, 40, dtype=torch.bool)
    rows[0, 30:], rows[1, 25:28] = True, True
    whole = model(ids, pixels, start=6)
    assert torch.allclose(model(ids, pixels, start=6, shared=5)[:, :], whole[:, 5:], atol=1e-4)
    assert torch.allclose(model(ids, pixels, start=6, shared=5, rows=rows), whole[rows], atol=1e-4)
