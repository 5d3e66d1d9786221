"""A small made-up state folder, as fetching and rendering would leave it, with the shipped tokenizer."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

SHIPPED = Path(__file__).parents[2] / "models" / "mono-tiny"


@pytest.fixture(scope="session")
def state(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("state")
    words = folder / "wordnet/usr/share/wordnet"
    words.mkdir(parents=True)
    for part in ("noun", "adj", "verb"):
        (words / f"data.{part}").write_text("00001 03 n 01 cat 0 000 | an animal that purrs; x\n")
    (folder / "train_64").mkdir()
    records = [
        {"t": "thing", "n": "cat", "bg": "white"},
        {"t": "shape", "s": "star", "c": "red", "bg": "blue"},
        {"t": "digit", "d": 7, "c": "black", "bg": "white"},
    ]
    (folder / "train_64/shard_000.json").write_text(json.dumps(records))
    np.save(folder / "train_64/shard_000.npy", np.arange(3 * 64 * 64 * 3, dtype=np.uint8).reshape(3, 64, 64, 3))
    (folder / "tokenizer").mkdir()
    for name in ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        shutil.copy(SHIPPED / name, folder / "tokenizer" / name)
    return folder
