"""Batches: the same for the same place, little padding, pictures in words; what differs between the ablation's arms."""

import numpy as np
import pytest
import torch

from eval.ablation import ARMS, STEPS, configured, shared
from monotrain.batches import GROUP, IGNORE, Source, augment, moved, moves, resize
from monotrain.model import ModelConfig, MonoInternVL
from monotrain.optimiser import trainable
from monotrain.tokenizer import Tokenizer

CONFIG = {
    "model": {"tile": 64, "patch": 8},
    "data": {
        "seed": 1,
        "shards": 1,
        "short": 0.5,
        "text_tokens": 26,
        "only_core": True,
        "mix": {"thing": 1, "shape": 1, "digit": 1},
    },
    "stage": [{"name": "S0", "data": "text", "tile": 48}],
}
SPEC = {"data": "questions", "tile": 48, "batch": 4, "text_every": 3}


@pytest.fixture(scope="module")
def source(state):
    return Source(state, CONFIG, Tokenizer(state / "tokenizer"))


def test_a_group_depends_on_its_place_only(source):
    a, b, other = (source.group(1, k, SPEC) for k in (4, 4, 6))
    assert len(a) == GROUP
    for x, y in zip(a, b, strict=True):
        assert torch.equal(x.ids, y.ids) and torch.equal(x.targets, y.targets) and torch.equal(x.tiles, y.tiles)
    assert not all(torch.equal(x.tiles, y.tiles) for x, y in zip(a, other, strict=True))


def test_conversations_of_like_length_stand_together(source):
    lengths = [(b.ids != 2).sum(1) for b in source.group(1, 0, SPEC)]
    spread = max(int(x.max() - x.min()) for x in lengths)
    assert spread < max(int(x.max()) for x in lengths) - min(int(x.min()) for x in lengths)


def test_pictures_have_their_place_and_answers_are_learned(source):
    batch = source.group(1, 0, SPEC)[0]
    inside = batch.ids[:, batch.start : batch.start + 9]
    assert batch.tiles.shape == (4, 48, 48, 3) and bool((inside == source.tok.image).all())
    learned = batch.targets[batch.targets != IGNORE]
    assert source.tok.image not in learned and source.tok.im_end in learned


def test_every_so_many_groups_are_text_with_pictures_in_words(source):
    groups = source.group(1, 2, SPEC)
    assert all(b.tiles is None for b in groups)
    opening = source.tok.pieces("<img>")[0]
    rows = [row.tolist() for b in groups for row in b.ids if opening in row]
    assert rows and all(source.tok.image not in row for row in rows)


def test_augmentation_keeps_the_side_and_moves_the_picture():
    rng = np.random.default_rng(0)
    tiles = np.zeros((2, 64, 64, 3), np.uint8)
    tiles[:, 20:40, 20:40] = 200
    out = augment(rng, tiles, *moves(rng, [{"t": "digit"}, {"t": "thing"}], 48), 48)
    assert out.shape == (2, 48, 48, 3) and out.dtype == np.uint8
    assert abs(float(resize(tiles, 48).mean()) - float(tiles.mean())) < 2
    assert not np.array_equal(out[0], out[1])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("shift", [(0, 0), (3, -4), (-4, 2)])
def test_boxes_move_with_their_picture(mirror, shift):
    tiles = np.zeros((1, 64, 64, 3), np.uint8)
    tiles[0, 10:30, 40:56] = 200
    record = {"t": "thing", "n": "cat", "box": [40 / 64, 10 / 64, 56 / 64, 30 / 64]}
    out = augment(np.random.default_rng(1), tiles, np.array([mirror]), np.array([shift]), 64)
    ys, xs = np.nonzero(out[0].max(-1) > 100)
    drawn = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
    assert np.allclose(np.array(moved(record, mirror, np.array(shift), 64)["box"]) * 64, drawn)


def test_a_box_at_the_edge_stays_there():
    whole = moved({"t": "shape", "box": [0.0, 0.25, 1.0, 0.5]}, False, np.array([2, 4]), 64)["box"]
    assert whole == [0.0, 0.25 + 2 / 64, 1.0, 0.5 + 2 / 64]


def test_arms_differ_in_what_they_say():
    base = {"model": {}, "stage": [{"name": "S0"}]}
    stages = {name: configured(base, arm)["stage"] for name, arm in ARMS.items()}
    assert [s["name"] for s in stages["1.5: attention and FFN experts, delta tuning"]] == ["S0", *STEPS]
    assert [s["name"] for s in stages["1.5 without S1"]] == ["S0", "S2"]
    assert {s["train"] for s in stages["experts, full tuning"][1:]} == {"all"}
    assert stages["1.0: FFN experts, attention unfrozen in S1.3"][3]["train"] == "visual and attention"
    assert trainable("x.attention.wqkv.weight", "visual and attention")
    assert not trainable("x.feed_forward.w1.weight", "visual and attention")


def test_an_arm_begins_where_another_had_got():
    base = {"model": {}, "stage": [{"name": "S0"}]}
    first, *others = (configured(base, arm) for arm in ARMS.values())
    assert dict(zip(list(ARMS)[1:], (shared(first, o) for o in others), strict=True)) == {
        "experts, full tuning": "S0",
        "no experts, full tuning": None,
        "1.5 without S1": "S0",
        "1.0: FFN experts, attention unfrozen in S1.3": None,
        "1.5 without S1.3": "S1.2",
        "1.5 without S1.2": "S1.1",
        "1.5 without S1.1": "S0",
    }


def test_without_experts_the_image_takes_the_texts_weights():
    torch.manual_seed(0)
    model = MonoInternVL(ModelConfig(vocab_size=300, hidden_size=64, layers=2, intermediate_size=96, image_token=299))
    for p in model.parameters():
        torch.nn.init.normal_(p, 0, 0.05)
    ids, pixels = torch.randint(0, 298, (2, 30)), torch.randn(2, 3, 64, 64)
    own = model(ids, pixels, start=4)
    model.cfg.experts = False
    shared = model(ids, pixels, start=4)
    assert not torch.allclose(own, shared)
    model.cfg.experts = True
    model.copy_text_experts()
    assert torch.allclose(model(ids, pixels, start=4), shared, atol=1e-5)
