"""The optimiser, what each stage trains, checkpoints, and resuming."""

import copy
import json
from pathlib import Path

import pytest
import torch

from monotrain import checkpoint
from monotrain.model import ModelConfig, MonoInternVL
from monotrain.optimiser import Masters, learning_rate, trainable

SHIPPED = Path(__file__).parents[2] / "models" / "mono-tiny"


def tiny() -> MonoInternVL:
    torch.manual_seed(0)
    return MonoInternVL(ModelConfig(vocab_size=64, hidden_size=32, layers=2, heads=4, intermediate_size=48, image_token=63))


def run(model, masters, steps, first=0):
    for k in range(first, first + steps):
        torch.manual_seed(k)
        ids = torch.randint(0, 60, (2, 24))
        pixels = torch.randn(2, 3, 64, 64).to(torch.bfloat16)
        out = model.logits(model(ids, pixels, start=2))
        torch.nn.functional.cross_entropy(out[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        masters.step(1e-3, 1.0)


def test_delta_tuning_leaves_the_language_model_alone():
    model = tiny().to(torch.bfloat16)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    run(model, Masters(model, "visual", 0.1), 2)
    for name, value in model.state_dict().items():
        changed = not torch.equal(before[name], value)
        assert changed == (trainable(name, "visual") and "class_embedding" not in name), name


def test_resuming_gives_the_same_weights():
    a = tiny().to(torch.bfloat16)
    ma = Masters(a, "all", 0.1)
    run(a, ma, 2)
    saved = copy.deepcopy(ma.state())
    b = tiny().to(torch.bfloat16)
    b.load_state_dict(a.state_dict())
    mb = Masters(b, "all", 0.1)
    mb.load(saved)
    run(a, ma, 2, first=2)
    run(b, mb, 2, first=2)
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y), name


def test_visual_experts_start_as_text_experts():
    state = tiny().state_dict()
    experts = [n for n in state if "_ve." in n]
    assert len(experts) == 2 * 5
    assert all(torch.equal(state[n], state[n.replace("_ve.", ".")]) for n in experts)


def test_schedule():
    spec = {"lr": 1.0, "warmup": 10, "steps": 100, "decay": 20}
    assert learning_rate(0, spec) == pytest.approx(0.1)
    assert learning_rate(50, spec) == 1.0
    assert learning_rate(90, spec) == pytest.approx(0.5)
    assert learning_rate(99, spec) == pytest.approx(0.05)


def test_a_folder_comes_back_as_written(tmp_path):
    model = tiny()
    checkpoint.write(model, SHIPPED, tmp_path / "m")
    raw = json.loads((tmp_path / "m" / "config.json").read_text())
    assert raw["llm_config"]["vocab_size"] == 64 and raw["template"] == "internlm2-chat"
    again = checkpoint.load(tmp_path / "m")
    for (name, x), y in zip(model.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(x.to(torch.bfloat16).float(), y), name


def test_the_shipped_folder_is_small_and_whole():
    size = sum(f.stat().st_size for f in SHIPPED.iterdir())
    assert size < 24_000_000
    assert checkpoint.load(SHIPPED).cfg.visual_attention == "qkvo"
