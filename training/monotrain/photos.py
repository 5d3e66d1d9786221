"""Photographs of groceries and clothes, squeezed to squares once: `photos.npy` with `photos.json`, in the state folder.

They come from two public data sets, which are fetched by hand (nothing of them is committed):
GroceryStoreDataset (github.com/marcusklasson/GroceryStoreDataset, MIT) and clothing-dataset-small
(github.com/alexeygrigorev/clothing-dataset-small, CC0). `--photos` names a folder that holds either

- the two repositories under their names, as they are published, or
- `grocery.zip` and `clothing.zip`: pictures with an `index.json`, a list of {file, label: {fine, coarse?}, split}.

python -m monotrain.photos --photos FOLDER

The authors' test lists stay out of training; their validation lists, which nothing here is chosen by, go into it.
"""

import argparse
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 96  # room for cuts out of a photograph before it becomes a tile of 64
TRAIN, TEST = "train", "test"

Photo = tuple[str, str, bytes]  # the name that it goes by, its split, the file


def spoken(label: str) -> str:
    """A label in words: "Oat-Milk" is "oat milk"."""
    return label.strip().lower().replace("-", " ").replace("t shirt", "t-shirt")


def zipped(file: Path) -> Iterator[Photo]:
    """The pictures of a zip with an index; groceries go by their coarse names."""
    with zipfile.ZipFile(file) as packed:
        for row in json.loads(packed.read("index.json")):
            label = row["label"].get("coarse") or row["label"]["fine"]
            yield spoken(label), TEST if row["split"] == TEST else TRAIN, packed.read(row["file"])


def grocery(folder: Path) -> Iterator[Photo]:
    """The published layout: lists of `path, fine id, coarse id` and a table of the classes' names."""
    data = folder / "dataset"
    with (data / "classes.csv").open(newline="") as table:
        rows = csv.DictReader(table)
        names = {int(row["Coarse Class ID (int)"]): spoken(row["Coarse Class Name (str)"]) for row in rows}
    for split in ("train", "val", "test"):
        for line in (data / f"{split}.txt").read_text().splitlines():
            if line.strip():
                path, _fine, coarse = (part.strip() for part in line.split(","))
                yield names[int(coarse)], TEST if split == TEST else TRAIN, (data / path).read_bytes()


def clothing(folder: Path) -> Iterator[Photo]:
    """The published layout: `split/class/picture`."""
    for split in ("train", "validation", "test"):
        for file in sorted((folder / split).glob("*/*")):
            yield spoken(file.parent.name), TEST if split == TEST else TRAIN, file.read_bytes()


def found(folder: Path) -> Iterator[tuple[str, Photo]]:
    """All photographs of the folder with their set; an error that says what was looked for if a set is not there."""
    for name, repository, read in (
        ("grocery", "GroceryStoreDataset", grocery),
        ("clothing", "clothing-dataset-small", clothing),
    ):
        if (folder / f"{name}.zip").exists():
            photos = zipped(folder / f"{name}.zip")
        elif (folder / repository).is_dir():
            photos = read(folder / repository)
        else:
            raise SystemExit(f"{folder} has neither {repository}/ nor {name}.zip")
        yield from ((name, photo) for photo in photos)


def build(folder: Path, out: Path) -> None:
    """Squeezes every photograph, as the engine squeezes an image into its one tile, and writes them with their names."""
    pixels, index = [], []
    for source, (name, split, file) in found(folder):
        image = Image.open(io.BytesIO(file)).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC)
        pixels.append(np.asarray(image))
        index.append({"set": source, "name": name, "split": split})
    np.save(out / "photos.npy", np.stack(pixels))
    (out / "photos.json").write_text(json.dumps(index))
    print(len(index), "photographs of", len({row["name"] for row in index}), "names")


class Photos:
    """The photographs of a split, by set and name."""

    def __init__(self, state: Path, split: str):
        file = state / "photos.npy"
        self.rows: dict[str, dict[str, list[int]]] = {"grocery": {}, "clothing": {}}
        if not file.exists():
            return
        self.pixels = np.load(file, mmap_mode="r")
        for i, row in enumerate(json.loads((state / "photos.json").read_text())):
            if row["split"] == split:
                self.rows[row["set"]].setdefault(row["name"], []).append(i)

    def __bool__(self) -> bool:
        return any(self.rows.values())

    def whole(self) -> list[tuple[Image.Image, dict]]:
        """Every photograph as it is, in the order of its set and name."""
        every = [(s, name, i) for s, names in self.rows.items() for name, of in names.items() for i in of]
        return [(Image.fromarray(self.pixels[i]), {"t": "photo", "set": s, "n": name}) for s, name, i in every]

    def pick(self, rng: np.random.Generator) -> tuple[Image.Image, dict]:
        """A part of a photograph, somewhat turned. Names are taken by the root of their number of pictures: a
        frequent class does not drown the others, and the few pictures of a rare one are not learned by heart."""
        source = "grocery" if rng.random() < 0.6 else "clothing"
        of = self.rows[source]
        weights = np.sqrt([len(v) for v in of.values()])
        name = str(rng.choice(list(of), p=weights / weights.sum()))
        image = Image.fromarray(self.pixels[of[name][rng.integers(len(of[name]))]])
        if rng.random() < 0.5:
            image = image.rotate(rng.normal(0, 8), Image.BICUBIC)
        w, h = (SIDE * rng.uniform(0.65, 1.0, 2)).astype(int)
        x, y = int(rng.integers(SIDE - w + 1)), int(rng.integers(SIDE - h + 1))
        return image.crop((x, y, x + w, y + h)), {"t": "photo", "set": source, "n": name}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--state", type=Path, default=Path(__file__).parents[1] / ".state")
    args = parser.parse_args()
    args.state.mkdir(exist_ok=True)
    build(args.photos, args.state)
