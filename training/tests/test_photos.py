"""Photographs: both layouts, what is kept out of training, what is said about them."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monotrain import photos, questions
from monotrain.photos import SIDE, TEST, TRAIN, Photos


def jpeg(grey: int, size=(40, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(out, "JPEG")
    return out.getvalue()


def published(folder: Path) -> None:
    """The two repositories in little."""
    data = folder / "GroceryStoreDataset" / "dataset"
    data.mkdir(parents=True)
    (data / "classes.csv").write_text(
        "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int)\n"
        "Royal-Gala,4,Apple,0\nOatly-Oat-Milk,45,Oat-Milk,22\n"
    )
    for split, grey in (("train", 50), ("val", 100), ("test", 200)):
        (data / f"{split}.txt").write_text(f"{split}/a.jpg, 4, 0\n{split}/b.jpg, 45, 22\n")
        (data / split).mkdir()
        for name in "ab":
            (data / split / f"{name}.jpg").write_bytes(jpeg(grey))
    for split in ("train", "validation", "test"):
        shirt = folder / "clothing-dataset-small" / split / "t-shirt"
        shirt.mkdir(parents=True)
        (shirt / "1.jpg").write_bytes(jpeg(10))


def packed(folder: Path) -> None:
    """The same as zips with an index."""
    for source, label in (("grocery", {"fine": "royal gala", "coarse": "apple"}), ("clothing", {"fine": "t-shirt"})):
        with zipfile.ZipFile(folder / f"{source}.zip", "w") as out:
            rows = [{"file": f"{split}/x.jpg", "label": label, "split": split} for split in ("train", "validation", "test")]
            for row in rows:
                out.writestr(row["file"], jpeg(10))
            out.writestr("index.json", json.dumps(rows))


@pytest.mark.parametrize("layout", [published, packed])
def test_the_test_lists_stay_out_of_training(tmp_path, layout):
    layout(tmp_path)
    photos.build(tmp_path, tmp_path)
    index = json.loads((tmp_path / "photos.json").read_text())
    assert np.load(tmp_path / "photos.npy").shape == (len(index), SIDE, SIDE, 3)
    assert {row["name"] for row in index} <= set(questions.PHOTOS)
    train, test = Photos(tmp_path, TRAIN), Photos(tmp_path, TEST)
    for source in ("grocery", "clothing"):
        for name, rows in train.rows[source].items():
            assert len(rows) == 2, "train and validation"
            assert len(test.rows[source][name]) == 1
            assert not set(rows) & set(test.rows[source][name])


def test_a_folder_without_photographs_is_told_so(tmp_path):
    with pytest.raises(SystemExit, match="neither GroceryStoreDataset/ nor grocery.zip"):
        photos.build(tmp_path, tmp_path)
    assert not Photos(tmp_path, TRAIN), "and the rest does without"


def test_cuts_of_photographs_depend_only_on_the_generator(tmp_path):
    published(tmp_path)
    photos.build(tmp_path, tmp_path)
    train = Photos(tmp_path, TRAIN)

    def cuts(seed):
        rng = np.random.default_rng(seed)
        return [(image.tobytes(), record["n"]) for image, record in (train.pick(rng) for _ in range(20))]

    assert cuts(1) == cuts(1)
    assert cuts(1) != cuts(2)


def test_every_name_of_the_data_sets_can_be_asked_about():
    rng = np.random.default_rng(0)
    for name, (words, kind) in questions.PHOTOS.items():
        assert kind in questions.KINDS
        record = {"t": "photo", "set": "grocery", "n": name}
        for _ in range(20):
            for question, answer in questions.turns(rng, record):
                assert question and answer
        assert questions.caption(record) == f"a photo of {words}"
