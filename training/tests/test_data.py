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


def test_yes_and_no_are_equally_right_and_need_the_picture():
    """Neither the words of a question nor an answer before it tell which it is."""
    rng = np.random.default_rng(3)

    def asked(record):
        for _ in range(4000):
            q, a = questions.turns(rng, record, 1)[0]
            if a.endswith(("so yes", "so no")):
                yield q, a.rsplit(" ", 1)[1]

    records = [
        {"t": "thing", "n": "cat", "bg": "white"},
        {"t": "pair", "a": "cat", "b": "owl", "rel": "left", "bg": None},
        {"t": "shape", "s": "star", "c": "red", "bg": "blue"},
        {"t": "two", "a": ["red", "star"], "b": ["blue", "circle"], "rel": "left", "bg": None},
        {"t": "two", "a": ["red", "circle"], "b": ["blue", "star"], "rel": "left", "bg": None},
    ]
    for record in records:
        answers = [a for _, a in asked(record)]
        assert len(answers) > 100 and 0.4 < answers.count("yes") / len(answers) < 0.6, record
    relation = [turn for r in records[3:] for turn in asked(r)]
    for words in ("star left of", "star right of", "circle left of", "circle right of"):
        answers = [a for q, a in relation if words in q and q.startswith("Is")]
        assert 0.3 < answers.count("yes") / len(answers) < 0.7, words


def test_boxes_are_in_the_official_format_and_where_the_thing_is():
    assert questions.grounded("a cat", [0.1, 0.25, 0.506, 1.0]) == "<ref>a cat</ref><box>[[100, 250, 510, 1000]]</box>"
    image = Image.new("RGB", (100, 80))
    for shape in SHAPES:
        image.paste((0, 0, 0), (0, 0, 100, 80))
        box = scenes.draw_shape(image, shape, (255, 0, 0), 30, 40, 20, 0.1)
        ys, xs = np.nonzero(np.asarray(image)[..., 0])
        drawn = [xs.min() / 100, ys.min() / 80, (xs.max() + 1) / 100, (ys.max() + 1) / 80]
        assert np.allclose(box, drawn, atol=0.03), shape


def test_yes_and_no_are_marked_by_the_last_of_them():
    assert metrics.decides("It is a cat, so no.", "no") and metrics.decides("yes", "yes")
    assert not metrics.decides("It is a cat, so yes.", "no") and not metrics.decides("a cat", "no")


def test_boxes_are_marked_by_overlap():
    a = questions.grounded("a cat", [0.0, 0.0, 0.5, 0.5])
    assert metrics.overlaps(a, a)
    assert metrics.overlaps("a cat[[0, 0, 500, 400]]", a)
    assert not metrics.overlaps("a cat[[0, 0, 500, 200]]", a)
    assert not metrics.overlaps("a cat", a)


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
    assert metrics.baselines("count", rows) == (0.5, 0.75)
