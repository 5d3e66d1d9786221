"""The shipped tokenizer: the official frame, cheap template, and the same round trip for any text."""

import json
from pathlib import Path

import pytest

from monotrain.tokenizer import CHAT, SYSTEM, VISION, Tokenizer

FOLDER = Path(__file__).parents[2] / "models" / "mono-tiny"


@pytest.fixture(scope="module")
def tok():
    return Tokenizer(FOLDER)


def test_special_ids_stand_where_the_official_ones_do(tok):
    vocab = json.loads((FOLDER / "config.json").read_text())["llm_config"]["vocab_size"]
    assert [tok.added[t] for t in CHAT + VISION] == list(range(vocab - 15, vocab))
    assert tok.sp.get_piece_size() == vocab - len(VISION)


def test_the_template_is_cheap(tok):
    head = tok.head()
    assert head[0] == 1
    assert len(head) == 7
    assert tok.sp.decode(head[3:4]) == SYSTEM


@pytest.mark.parametrize("text", ["a cat", " two  spaces ", "naïve 你好 🙂", "1234", "user\nmore\n", "a\tb"])
def test_any_text_survives(tok, text):
    assert tok.sp.decode(tok.pieces(text)) == text


def test_a_prompt_holds_one_placeholder_a_visual_token(tok):
    ids = tok.prompt("What is this?", 16)
    assert ids.count(tok.image) == 16
    assert ids[-2:] == tok.pieces("<|im_start|>assistant\n")
    longer = tok.prompt("Why?", 16, (("What is this?", "a cat"),))
    assert longer[: len(ids)] == ids
    assert longer.count(tok.image) == 16
