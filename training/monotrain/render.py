"""Renders shards of pictures ahead of training: `shard_K.npy` (tiles, u8) with `shard_K.json` (what they show).

Picture i of shard k depends only on the seed, k and i. Run:
`python -m monotrain.render --shards 8` (training) or `--split eval` (held-out styles and fonts).
"""

import argparse
import json
import os
import tomllib
from pathlib import Path

import numpy as np

from .photos import TEST, TRAIN, Photos
from .scenes import Art, Sprites, draw, squeeze
from .vocabulary import COLOUR_STYLES, TRAIN_STYLES, things

ROOT = Path(__file__).parents[1]
HELD_OUT_FONTS = ("zilla-slab", "kalam", "nunito", "courier-prime")
LEFT_OUT_FONTS = ("ubuntu-mono",)
EVAL_SETS = {
    "twemoji": ("thing", ("twemoji",)),
    "twemoji_centred": ("centred", ("twemoji",)),
    "openmoji": ("thing", ("openmoji",)),
    "seen_styles": ("thing", TRAIN_STYLES),
    "pair": ("pair", ("twemoji",)),
    "count": ("count", ("twemoji",)),
    "shape": ("shape", ("twemoji",)),
    "digit": ("digit", ("twemoji",)),
    "flag": ("flag", ("twemoji",)),
}
PHOTO_SETS = ("grocery", "clothing")


def fonts(state: Path, held_out: bool) -> list[Path]:
    """Upright font files of the training families, or of the families held out."""
    folder = state / "npm" / "node_modules" / "@expo-google-fonts"
    return [
        f
        for f in sorted(folder.glob("*/*/*.ttf"))
        if "Italic" not in f.name and f.parts[-3] not in LEFT_OUT_FONTS and (f.parts[-3] in HELD_OUT_FONTS) == held_out
    ]


def common_things(state: Path, min_styles: int) -> set[str]:
    """Names drawn in at least `min_styles` of the coloured training styles."""
    styles: dict[str, set[str]] = {}
    for row in json.loads((state / "sprites.json").read_text()):
        if row["type"] == "thing":
            styles.setdefault(row["name"], set()).add(row["style"])
    return {t.name for t in things() if len(styles.get(t.name, set()) & set(COLOUR_STYLES)) >= min_styles}


def save(path: Path, tiles: np.ndarray, records: list[dict]) -> None:
    """Writes a shard so that it exists whole or not at all."""
    path.with_suffix(".json").write_text(json.dumps(records))
    tmp = path.with_suffix(".tmp.npy")
    np.save(tmp, tiles)
    os.replace(tmp, path)


def shard(seed: list[int], n: int, tasks: dict[str, float], art: Art, tile: int):
    names, weights = list(tasks), np.array(list(tasks.values()), float)
    tiles, records = np.empty((n, tile, tile, 3), np.uint8), []
    for i in range(n):
        rng = np.random.default_rng([*seed, i])
        task = str(rng.choice(names, p=weights / weights.sum()))
        tiles[i], record = draw(rng, task, art, tile)
        records.append(record)
    return tiles, records


def whole_photos(photos: Photos, source: str, most: int, tile: int):
    """Up to `most` whole photographs of a set, in one fixed random order."""
    mine = [(image, record) for image, record in photos.whole() if record["set"] == source]
    chosen = [mine[i] for i in np.random.default_rng(9).permutation(len(mine))[:most]]
    return np.stack([squeeze(image, tile) for image, _ in chosen]), [record for _, record in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "config.toml")
    parser.add_argument("--state", type=Path, default=ROOT / ".state")
    parser.add_argument("--split", choices=("train", "eval"), default="train")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shards", type=int, default=1)
    args = parser.parse_args()
    cfg = tomllib.loads(args.config.read_text())
    tile, data = cfg["model"]["tile"], cfg["data"]
    names = common_things(args.state, data["min_styles"])
    flags = ("flag-icons-4x3", "flag-icons-1x1")
    out = args.state / f"{args.split}_{tile}"
    out.mkdir(exist_ok=True)
    if args.split == "eval":
        tests = Photos(args.state, TEST)
        for k, (task, (kind, styles)) in enumerate(EVAL_SETS.items()):
            art = Art(Sprites(args.state, styles, names), fonts(args.state, True), tests)
            save(out / f"{task}.npy", *shard([9, k], data["eval_pictures"], {kind: 1}, art, tile))
        for source in PHOTO_SETS if tests else ():
            save(out / f"{source}.npy", *whole_photos(tests, source, data["eval_pictures"], tile))
        return
    if data["only_core"]:
        names &= {t.name for t in things() if t.core}
    art = Art(Sprites(args.state, TRAIN_STYLES + flags, names), fonts(args.state, False), Photos(args.state, TRAIN))
    if data["tasks"].get("photo") and not art.photos:
        raise SystemExit(f"{args.state} has no photos.npy: run monotrain.photos, or take `photo` out of tasks and mix")
    for k in range(args.first, args.first + args.shards):
        path = out / f"shard_{k:03}.npy"
        if not path.exists():
            save(path, *shard([data["seed"], k], data["shard"], data["tasks"], art, tile))
            print(path.name, flush=True)


if __name__ == "__main__":
    main()
