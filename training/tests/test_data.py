"""Pictures, questions and metrics."""

import numpy as np
import pytest
from PIL import Image

from monotrain import metrics, questions, scenes
from monotrain.tokenizer import fake_records
from monotrain.vocabulary import HELD_OUT_STYLES, SHAPES, TRAIN_STYLES, countries, said, things


def test_every_kind_of_record_can_be_asked_about():
    rng = np.random.default_rng(0)
    seen = set()
    for record in fake_records(rng, 500):
        seen.add(record["t"])
        for q, a in questions.turns(rng, record, 3):
            assert q and a and "{" not in q + a
        assert questions.caption(record)
        assert questions.tags(rng, record)
    assert seen == set(questions.ABOUT)


def test_questions_depend_only_on_the_generator():
    def talk(seed):
        rng = np.random.default_rng(seed)
        return [questions.turns(rng, r) for r in fake_records(rng, 50)] + [questions.text_turns(rng)]

    assert talk(4) == talk(4)
    assert talk(4) != talk(5)


def test_pair_questions_tell_the_truth():
    record = {"t": "pair", "a": "cat", "b": "owl", "rel": "left", "bg": None}
    rng = np.random.default_rng(1)
    truth = {"What is on the left?": "a cat", "What is on the right?": "an owl", "What is right of the cat?": "an owl"}
    for _ in range(50):
        for q, a in questions.turns(rng, record, 2):
            assert truth.get(q, a) == a


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_drawn_where_they_belong(shape):
    image = Image.new("RGB", (100, 100))
    scenes.draw_shape(image, shape, (255, 0, 0), 30, 60, 20)
    ys, xs = np.nonzero(np.asarray(image)[..., 0])
    assert 22 < xs.mean() < 38 and 52 < ys.mean() < 68
    assert xs.max() - xs.min() < 52


def test_places_keep_their_distance():
    rng = np.random.default_rng(2)
    for n in range(1, 7):
        assert len(scenes.places(rng, n, 128, 128, 15)) == n


def test_names_are_unique_and_held_out_styles_are_not_trained_on():
    names = [t.name for t in things()]
    assert len(names) == len(set(names)) >= 300
    assert len({name for _, name, _, _ in countries()}) == len(countries())
    assert not set(TRAIN_STYLES) & set(HELD_OUT_STYLES)


def test_articles():
    assert [said(n) for n in ("cat", "owl", "grapes", "jeans")] == ["a cat", "an owl", "some grapes", "a pair of jeans"]
    assert said("unicorn") == "a unicorn" and said("umbrella") == "an umbrella"


def test_marks():
    assert metrics.same("A cat.", "a cat") and metrics.same("some grapes", "grapes")
    assert not metrics.same("a cat", "a dog")
    low, high = metrics.interval(50, 100)
    assert 0.39 < low < 0.41 and 0.59 < high < 0.61
    rows = [{"want": "a"}, {"want": "a"}, {"want": "b"}, {"want": "a"}]
    assert metrics.baselines(rows) == (0.5, 0.75)
