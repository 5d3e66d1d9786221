"""Draws the pictures of `examples/` (nothing of them was trained on) and writes their questions.

python -m eval.draw_examples
"""

import argparse
import json
import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from monotrain.scenes import draw_shape
from monotrain.sprites import raster, svg_of
from monotrain.vocabulary import COLOURS

ROOT = Path(__file__).parents[1]
SOFT = {"sky": (176, 214, 240), "mint": (190, 228, 205), "sand": (244, 226, 186), "rose": (247, 205, 213)}


def emoji(icons: dict, slug: str, size: int) -> Image.Image:
    svg = svg_of(icons, slug)
    if svg is None:
        raise SystemExit(f"twemoji has no {slug}")
    return raster(svg, size)


def picture(size: tuple[int, int], colour) -> Image.Image:
    return Image.new("RGB", size, colour)


def put(image: Image.Image, sprite: Image.Image, cx: float, cy: float) -> None:
    image.paste(sprite, (int(cx - sprite.width / 2), int(cy - sprite.height / 2)), sprite)


def shade(size: tuple[int, int], top, bottom) -> Image.Image:
    """A soft vertical gradient."""
    w, h = size
    image = Image.new("RGB", (1, h))
    for y in range(h):
        image.putpixel((0, y), tuple(round(a + (b - a) * y / h) for a, b in zip(top, bottom, strict=True)))
    return image.resize(size)


def draw(icons: dict, font: Path) -> dict[str, tuple[Image.Image, list[str]]]:
    """Name -> (picture, questions); the first question is the one shown first."""
    out: dict[str, tuple[Image.Image, list[str]]] = {}

    def thing(name: str, slug: str, size, back, *questions: str, scale: float = 0.8) -> None:
        image = back if isinstance(back, Image.Image) else picture(size, back)
        put(image, emoji(icons, slug, int(min(size) * scale)), size[0] / 2, size[1] / 2)
        out[name] = (image, list(questions))

    a, b = (448, 448), (320, 320)
    sky = shade(a, (120, 180, 235), (225, 240, 250))
    thing("example", "penguin", a, sky, "What is this?", "What kind of thing is it?", "How old is it?")
    thing("strawberry", "strawberry", b, COLOURS["white"], "What fruit is this?", "What colour is the background?")
    thing("rocket", "rocket", (384, 320), COLOURS["purple"], "What do you see?", "What colour is the background?")
    thing("dog", "dog-face", b, sky.resize(b), "What is in the picture?", "What is its name?")
    thing("guitar", "guitar", (256, 320), SOFT["sand"], "What is this?", "What sort of thing is it?")
    thing("ladybug", "lady-beetle", b, SOFT["mint"], "What is this?", "What kind of thing is it?")
    thing("flag", "flag-japan", (384, 320), SOFT["sky"], "Which country's flag is this?", "What is the capital?")
    # Shapes are drawn four times as large and shrunk, for smooth edges.
    stars = picture((4 * 448, 4 * 448), COLOURS["blue"])
    for k in range(5):
        angle = 2 * math.pi * k / 5 - math.pi / 2
        x, y = 896 + 560 * math.cos(angle), 896 + 560 * math.sin(angle)
        draw_shape(stars, "star", COLOURS["yellow"], x, y, 208, 0.1 * k)
    out["stars"] = (stars.resize(a, Image.LANCZOS), ["How many stars are there?", "What colour are they?"])
    shapes = picture((1280, 1280), COLOURS["white"])
    draw_shape(shapes, "circle", COLOURS["red"], 360, 640, 220)
    draw_shape(shapes, "triangle", COLOURS["green"], 920, 660, 240)
    out["shapes"] = (shapes.resize(b, Image.LANCZOS), ["What is left of the triangle?", "What colour is the triangle?"])
    digit = picture((224, 224), COLOURS["yellow"])
    pen = ImageDraw.Draw(digit)
    pen.text((112, 112), "7", fill=COLOURS["blue"], font=ImageFont.truetype(str(font), 190), anchor="mm")
    out["digit"] = (digit, ["What digit is this?", "What colour is the digit?"])
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=ROOT / ".state")
    parser.add_argument("--out", type=Path, default=ROOT.parent / "examples")
    args = parser.parse_args()
    packages = args.state / "npm" / "node_modules"
    icons = json.loads((packages / "@iconify-json" / "twemoji" / "icons.json").read_text())
    font = next((packages / "@expo-google-fonts" / "nunito").glob("700Bold/*.ttf"))
    rows = []
    for name, (image, questions) in draw(icons, font).items():
        image.save(args.out / f"{name}.png", optimize=True)
        rows.append({"image": f"{name}.png", "question": questions[0], "follow_up": questions[1:]})
    (args.out / "questions.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
