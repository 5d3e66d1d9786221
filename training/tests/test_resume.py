"""A run stopped after every step ends with the same weights as one that was never stopped."""

import argparse
import json

import pytest
import torch

from monotrain.tokenizer import Tokenizer
from monotrain.train import Run


@pytest.fixture(scope="module")
def config(state):
    table = json.loads((state / "tokenizer/added_tokens.json").read_text())
    sizes = {"vocab_size": max(table.values()) + 1, "hidden_size": 32, "layers": 2, "heads": 4, "intermediate_size": 48}
    stage = {"batch": 2, "lr": 1e-3, "tile": 48}
    return {
        "model": sizes | {"tile": 64, "patch": 8, "vision_size": 16},
        "data": {
            "seed": 1,
            "shards": 1,
            "short": 0.5,
            "text_tokens": 26,
            "only_core": True,
            "mix": {"thing": 1, "shape": 1, "digit": 1},
        },
        "train": {"vision_lr": 0.2, "weight_decay": 0.05, "clip": 1.0, "threads": 1, "save_minutes": 60, "workers": 0},
        "stage": [
            stage | {"name": "S0", "data": "text", "train": "language", "steps": 3},
            stage | {"name": "S1.2", "data": "captions", "train": "visual", "steps": 3},
            stage | {"name": "S2", "data": "questions", "train": "all", "steps": 10, "decay": 5},
        ],
    }


def trained(state, config, name: str, minutes: float) -> Run:
    """A run taken to its end, in one go or (minutes = 0) one step at a time, each in a new Run."""
    config["train"]["sample_steps"] = 10**9
    for _ in range(100):
        run = Run(argparse.Namespace(state=state, name=name), config)
        run.go(minutes)
        if (run.stage, run.step) == (2, 10):
            return run
    raise AssertionError("the run does not end")


def test_stopping_and_resuming_changes_nothing(state, config):
    whole, pieces = trained(state, config, "whole", 60), trained(state, config, "pieces", 0)
    other = pieces.model.state_dict()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, other[name]), name
    assert Tokenizer(state / "tokenizer").image == whole.model.cfg.image_token


def test_a_run_begins_where_another_ended(state, config):
    first = trained(state, config, "whole", 60)
    small = config | {"model": config["model"] | {"visual_attention": "none"}}
    run = Run(argparse.Namespace(state=state, name="other"), small)
    run.take_over(first.run_dir / "state_S0.pt")
    run.resume()
    assert (run.stage, run.step) == (0, 3)
    saved = torch.load(first.run_dir / "state_S0.pt", weights_only=True)["model"]
    assert torch.equal(run.model.state_dict()["language_model.output.weight"], saved["language_model.output.weight"])


def test_a_run_begins_with_an_exported_folder(state, config, tmp_path):
    first = trained(state, config, "whole", 60)
    first.export(tmp_path / "out")
    run = Run(argparse.Namespace(state=state, name="continued"), config)
    run.start_from(tmp_path / "out", "S1.2")
    exported = first.model.state_dict()
    for again in (run, Run(argparse.Namespace(state=state, name="continued"), config)):
        again.resume()
        assert (again.stage, again.step) == (1, 0)
        # The visual experts are the exported ones, not fresh copies of the text's.
        for name, value in again.model.state_dict().items():
            assert torch.equal(value.bfloat16(), exported[name].bfloat16()), name
    with pytest.raises(SystemExit, match="there is no stage"):
        Run(argparse.Namespace(state=state, name="other stage"), config).start_from(tmp_path / "out", "S9")
