"""The checkpoint's own SentencePiece tokenizer, with the official specials, vision tags and chat template."""

import io
import json
import re
from pathlib import Path

import numpy as np
import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as pb

from . import glosses, questions
from .vocabulary import things

SYSTEM = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
CHAT = ("<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>", "<|im_end|>", "<|im_start|>")
VISION = ("<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>")
# Whole pieces for what stands in every prompt, so that the fixed template costs 16 tokens and not 60.
WHOLE = (SYSTEM, "system\n", "user\n", "assistant\n", "\n")


class Tokenizer:
    """Encodes as the official slow tokenizer does: added tokens first, then SentencePiece; bos in front."""

    def __init__(self, folder: Path):
        self.sp = spm.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        table = json.loads((folder / "tokenizer_config.json").read_text())["added_tokens_decoder"]
        self.added = {row["content"]: int(i) for i, row in table.items()}
        self.split = re.compile("(" + "|".join(sorted(map(re.escape, self.added), key=len, reverse=True)) + ")")
        self.image, self.im_end = self.added["<IMG_CONTEXT>"], self.added["<|im_end|>"]

    def pieces(self, text: str) -> list[int]:
        """Ids of a text without bos."""
        out: list[int] = []
        for part in self.split.split(text):
            if part:
                out += [self.added[part]] if part in self.added else self.sp.encode(part)
        return out

    def decode(self, ids: list[int]) -> str:
        """The text up to the end of the answer."""
        ids = [int(i) for i in ids]
        if self.im_end in ids:
            ids = ids[: ids.index(self.im_end)]
        return self.sp.decode([i for i in ids if i < self.sp.get_piece_size() and i not in (0, 1, 2)]).strip()

    def head(self) -> list[int]:
        """Everything before the first user text."""
        return [1, *self.pieces(f"<|im_start|>system\n{SYSTEM}<|im_end|><|im_start|>user\n")]

    def prompt(self, question: str, visual_tokens: int, history: tuple[tuple[str, str], ...] = ()) -> list[int]:
        """Ids of a whole prompt; the image belongs to the first question."""
        image = f"<img>{'<IMG_CONTEXT>' * visual_tokens}</img>\n" if visual_tokens else ""
        text = ""
        for q, a in history:
            text += f"{image}{q}<|im_end|><|im_start|>assistant\n{a}<|im_end|><|im_start|>user\n"
            image = ""
        return self.head() + self.pieces(f"{text}{image}{question}<|im_end|><|im_start|>assistant\n")


def corpus(state: Path) -> list[str]:
    """Lines that the pieces are learned from: conversation as it will be asked, names, and glosses."""
    rng = np.random.default_rng(5)
    lines = [line for _ in range(20000) for turn in questions.text_turns(rng) for line in turn]
    for t in things():
        # So often that every name becomes one piece, both as an answer and inside a sentence: naming is then one step.
        lines += [t.said, f" {t.said}"] * 3000
        lines += [f"the {t.name}", f"Is it {t.said}?"] * 60
    for name, (capital, continent) in questions.COUNTRIES.items():
        lines += [f"the flag of {name}", name, capital, continent] * 60
    for record in fake_records(rng, 40000):
        lines += [line for turn in questions.turns(rng, record, 4) for line in turn]
        lines += [questions.caption(record), questions.tags(rng, record)]
    return lines + [g for g in glosses.glosses(state)[:30000]]


def fake_records(rng, n: int):
    """Records of pictures that are not drawn, for text only."""
    from .vocabulary import COLOURS, SHAPES

    names, flags = [t.name for t in things()], list(questions.COUNTRIES)
    colours, one = list(COLOURS), questions.one
    for _ in range(n):
        ca, cb = (str(c) for c in rng.choice(colours, 2, replace=False))
        sa, sb = (str(s) for s in rng.choice(SHAPES, 2, replace=False))
        bg, rel = one(rng, colours), one(rng, ("left", "above"))
        yield one(rng, [
            {"t": "thing", "n": one(rng, names), "bg": bg},
            {"t": "thing", "n": one(rng, names), "bg": None},
            {"t": "pair", "a": one(rng, names), "b": one(rng, names), "rel": rel, "bg": bg},
            {"t": "count", "n": int(rng.integers(1, 7)), "s": sa, "c": ca, "bg": bg},
            {"t": "count", "n": int(rng.integers(1, 7)), "thing": one(rng, names), "bg": bg},
            {"t": "shape", "s": sa, "c": ca, "bg": bg},
            {"t": "two", "a": [ca, sa], "b": [cb, sb], "rel": rel, "bg": bg},
            {"t": "digit", "d": int(rng.integers(10)), "c": ca, "bg": bg},
            {"t": "flag", "n": one(rng, flags), "bg": bg},
            {"t": "photo", "set": "", "n": one(rng, list(questions.PHOTOS))},
        ])  # fmt: skip


def added_table(vocab: int) -> dict[int, str]:
    """Ids of all added tokens: the first three, six chat tokens over unused pieces, nine vision tags at the end."""
    base = vocab - len(VISION) - len(CHAT)
    return {0: "<unk>", 1: "<s>", 2: "</s>", **{base + i: t for i, t in enumerate(CHAT + VISION)}}


def train(state: Path, vocab: int, out: Path) -> None:
    """Learns the pieces and writes the four tokenizer files."""
    out.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    unused = [f"[UNUSED_TOKEN_{i}]" for i in range(len(CHAT))]
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus(state)),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab - len(VISION) - len(CHAT) - len(WHOLE),
        character_coverage=0.9999,
        byte_fallback=True,
        split_digits=True,
        split_by_whitespace=False,  # phrases in one piece: a question and its answer cost 9 tokens in place of 14
        split_by_unicode_script=False,
        max_sentencepiece_length=24,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    proto = pb.ModelProto()
    proto.ParseFromString(model.getvalue())
    for text in (*WHOLE, *unused):
        piece = proto.pieces.add()
        piece.piece, piece.score = text.replace(" ", "\u2581"), 0.0
        piece.type = pb.ModelProto.SentencePiece.USER_DEFINED
    proto.trainer_spec.vocab_size = len(proto.pieces)
    for field in ("input", "model_prefix"):
        proto.trainer_spec.ClearField(field)
    (out / "tokenizer.model").write_bytes(proto.SerializeToString())
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    table = added_table(vocab)
    config = {
        "added_tokens_decoder": {str(i): {"content": t, **flags, "special": True} for i, t in table.items()},
        "additional_special_tokens": list(VISION),
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
        "tokenizer_class": "InternLM2Tokenizer",
    }
    special = {"additional_special_tokens": list(VISION)}
    special |= {
        f"{k}_token": {"content": t, **flags} for k, t in (("bos", "<s>"), ("eos", "</s>"), ("pad", "</s>"), ("unk", "<unk>"))
    }
    ids = {t: i for i, t in table.items() if t in VISION}
    for name, value in (("tokenizer_config", config), ("special_tokens_map", special), ("added_tokens", ids)):
        (out / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
