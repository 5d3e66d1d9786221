"""Emoji and flags rasterised once: RGBA sprites with an index, in the state folder.

The art comes from npm packages by name (`data/packages.txt`); nothing of it is committed. Run:
`python -m monotrain.sprites --state training/.state`
"""

import argparse
import io
import json
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

from .vocabulary import HELD_OUT_STYLES, TRAIN_STYLES, countries, things

SIDE = 128


def svg_of(icons: dict, slug: str) -> str | None:
    """The SVG text of an icon of an iconify set, aliases resolved; None if the set lacks it."""
    alias = icons.get("aliases", {}).get(slug)
    if alias is not None:
        if set(alias) - {"parent"}:
            return None
        slug = alias["parent"]
    icon = icons["icons"].get(slug)
    if icon is None:
        return None
    w = icon.get("width", icons.get("width", 16))
    h = icon.get("height", icons.get("height", 16))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {w} {h}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="{w}" height="{h}">{icon["body"]}</svg>'
    )


def raster(svg: str, side: int = SIDE) -> Image.Image:
    """An SVG drawn as `square` says."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=side * 2)
    return square(Image.open(io.BytesIO(bytes(png))), side)


def square(img: Image.Image, side: int = SIDE) -> Image.Image:
    """A picture as a side x side RGBA square, aspect kept, cut to its ink and centred."""
    img = img.convert("RGBA")
    box = img.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()
    if box is None:
        raise ValueError("empty picture")
    img = img.crop(box)
    scale = side / max(img.size)
    img = img.resize([max(1, round(s * scale)) for s in img.size], Image.BICUBIC)
    out = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    out.paste(img, ((side - img.width) // 2, (side - img.height) // 2))
    return out


def variants(slug: str) -> list[str]:
    """How the sets spell one slug: with and without hyphens, and numbered when there are several drawings."""
    return list(dict.fromkeys([slug, slug.replace("-", ""), *(f"{slug}-{k}" for k in (1, 2, 3))]))


def by_codepoint(packages: Path) -> dict[str, str]:
    """Slug -> name of the file (its code points) in the set that has no slugs, by Noto's table."""
    chars = json.loads((packages / "@iconify-json" / "noto" / "chars.json").read_text())
    return {slug: code for code, slug in chars.items()}


def build(packages: Path, out: Path) -> None:
    """Draws every sprite of every style into `sprites.npy` with `sprites.json`."""
    pixels, index, seen = [], [], set()
    code_of, folder_3d = by_codepoint(packages), packages / "@lobehub" / "fluent-emoji-3d" / "assets"

    def add(art: str | Path, **row) -> None:
        try:
            img = np.asarray(raster(art) if isinstance(art, str) else square(Image.open(art)))
        except (ValueError, SyntaxError) as error:
            print("skipped", row, error)
            return
        key = (row["style"], row["name"], img.tobytes())
        if key not in seen:
            seen.add(key)
            pixels.append(img)
            index.append(row)

    for style in TRAIN_STYLES + HELD_OUT_STYLES:
        if style == "fluent-emoji-3d":
            for thing, slug in ((t, s) for t in things() for s in t.slugs if s in code_of):
                file = folder_3d / f"{code_of[slug]}.webp"
                if file.exists():
                    add(file, type="thing", name=thing.name, style=style, slug=slug)
            continue
        icons = json.loads((packages / "@iconify-json" / style / "icons.json").read_text())
        for thing in things():
            for slug in thing.slugs:
                for variant in variants(slug):
                    svg = svg_of(icons, variant)
                    if svg:
                        add(svg, type="thing", name=thing.name, style=style, slug=variant)
        for _code, name, _, _ in countries():
            short = name.removeprefix("the ").lower().replace(" ", "-")
            for slug in (f"flag-{short}", f"flag-for-{short}"):
                svg = svg_of(icons, slug)
                if svg:
                    add(svg, type="flag", name=name, style=style, slug=slug)
        print(style, len(index), flush=True)
    for code, name, _, _ in countries():
        for shape in ("4x3", "1x1"):
            svg = (packages / "flag-icons" / "flags" / shape / f"{code}.svg").read_text()
            add(svg, type="flag", name=name, style=f"flag-icons-{shape}", slug=code)
    np.save(out / "sprites.npy", np.stack(pixels))
    (out / "sprites.json").write_text(json.dumps(index))
    print(len(index), "sprites")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(__file__).parents[1] / ".state")
    args = parser.parse_args()
    build(args.state / "npm" / "node_modules", args.state)
