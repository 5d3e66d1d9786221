"""Pictures with what is in them: things, pairs, counts, shapes, digits, flags; and cuts of photographs.

A scene is drawn on a canvas larger than the tile and then resized as the engine resizes any image
(Pillow bicubic, antialiased, whole image to the tile), so that training sees what inference sees.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .photos import Photos
from .vocabulary import COLOURS, MONO_STYLES, SHAPES

CANVAS = (96, 128, 128, 160, 192, 224)


class Sprites:
    """The rasterised emoji and flags, by kind, name and style."""

    def __init__(self, state: Path, styles: tuple[str, ...], names: set[str] | None = None):
        self.pixels = np.load(state / "sprites.npy", mmap_mode="r")
        self.by_name: dict[tuple[str, str], list[int]] = {}
        for i, row in enumerate(json.loads((state / "sprites.json").read_text())):
            if row["style"] in styles and (row["type"] != "thing" or names is None or row["name"] in names):
                self.by_name.setdefault((row["type"], row["name"]), []).append(i)
        self.styles = [row["style"] for row in json.loads((state / "sprites.json").read_text())]

    def names(self, kind: str) -> list[str]:
        return [n for k, n in self.by_name if k == kind]

    def pick(self, rng: np.random.Generator, kind: str, name: str, bg: str | None = None) -> Image.Image:
        """A sprite of the name; every style is equally likely (silhouettes less), however many drawings it has.
        Silhouettes take any colour but that of the background."""
        choices = self.by_name[kind, name]
        styles = sorted({self.styles[i] for i in choices})
        weights = np.array([0.4 if s in MONO_STYLES else 1.0 for s in styles])
        style = str(rng.choice(styles, p=weights / weights.sum()))
        mine = [i for i in choices if self.styles[i] == style]
        pixels = self.pixels[mine[rng.integers(len(mine))]]
        if style in MONO_STYLES:
            pixels = pixels.copy()
            pixels[..., :3] = jitter(rng, COLOURS[str(rng.choice([c for c in COLOURS if c != bg]))])
        return Image.fromarray(pixels, "RGBA")


def jitter(rng: np.random.Generator, colour: tuple[int, int, int], amount: float = 14) -> tuple[int, int, int]:
    return tuple(int(np.clip(c + rng.normal(0, amount), 0, 255)) for c in colour)


def canvas(rng: np.random.Generator, avoid: tuple[str, ...] = (), plain: bool = False) -> tuple[Image.Image, str | None]:
    """An empty picture: white, black, a named colour, or a texture without a name."""
    side = int(rng.choice(CANVAS))
    w, h = side, side
    if rng.random() < 0.25:
        w = int(side * rng.uniform(1, 1.35))
        w, h = (w, h) if rng.random() < 0.5 else (h, w)
    roll = rng.random()
    if roll < 0.3 and "white" not in avoid:
        return Image.new("RGB", (w, h), (255, 255, 255)), "white"
    if roll < 0.36 and "black" not in avoid:
        return Image.new("RGB", (w, h), (0, 0, 0)), "black"
    if roll < 0.75 or plain:
        name = str(rng.choice([c for c in COLOURS if c not in avoid]))
        return Image.new("RGB", (w, h), jitter(rng, COLOURS[name])), name
    a, b = (rng.integers(0, 256, 3).astype(float) for _ in range(2))
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    angle = rng.uniform(0, 2 * math.pi)
    t = np.cos(angle) * x + np.sin(angle) * y
    if roll < 0.87:
        t = (t - t.min()) / (np.ptp(t) + 1e-6)
    else:
        t = 0.5 + 0.5 * np.sin(t * rng.uniform(6, 40) + rng.uniform(0, 6))
    image = a + (b - a) * t[..., None] + rng.normal(0, rng.uniform(0, 12), (h, w, 1))
    return Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)), None


Box = list[float]


def fraction(box, size: tuple[int, int]) -> Box:
    """A box (left, top, right, bottom) in pixels as rounded parts of the picture's sides, cut to the picture."""
    return [round(min(max(v / side, 0.0), 1.0), 4) for v, side in zip(box, (*size, *size), strict=True)]


def paste(rng, image: Image.Image, sprite: Image.Image, cx: float, cy: float, size: float, turn: float = 12) -> Box:
    """Puts a sprite of the given size at a centre, slightly turned, sometimes mirrored by the caller; returns its box."""
    size = max(8, int(size))
    s = sprite.resize((size, int(size * rng.uniform(0.9, 1.1))), Image.BICUBIC)
    if turn:
        s = s.rotate(rng.normal(0, turn), Image.BICUBIC, expand=True)
    x, y = int(cx - s.width / 2), int(cy - s.height / 2)
    image.paste(s, (x, y), s)
    ink = s.getchannel("A").point(lambda a: 255 if a > 64 else 0).getbbox() or (0, 0, *s.size)
    return fraction([v + o for v, o in zip(ink, (x, y, x, y), strict=True)], image.size)


def draw_shape(image: Image.Image, shape: str, colour, cx: float, cy: float, r: float, turn: float = 0) -> Box:
    """A filled shape of radius r around a centre; returns its box."""
    d = ImageDraw.Draw(image)
    if shape == "circle":
        box = [cx - r, cy - r, cx + r, cy + r]
        d.ellipse(box, fill=colour)
        return fraction(box, image.size)
    polygons = outline(shape, cx, cy, r, turn)
    for polygon in polygons:
        d.polygon(polygon, fill=colour)
    xs, ys = zip(*(p for polygon in polygons for p in polygon), strict=True)
    return fraction([min(xs), min(ys), max(xs), max(ys)], image.size)


def outline(shape: str, cx: float, cy: float, r: float, turn: float) -> list[list[tuple[float, float]]]:
    """The polygons that a shape consists of."""

    def points(angles, radii):
        return [(cx + q * math.cos(a + turn), cy + q * math.sin(a + turn)) for a, q in zip(angles, radii, strict=True)]

    def ring(n, start=-math.pi / 2, radius=r):
        return points([start + 2 * math.pi * k / n for k in range(n)], [radius] * n)

    match shape:
        case "square":
            return [ring(4, math.pi / 4, r * 1.15)]
        case "triangle":
            return [ring(3, radius=r * 1.15)]
        case "hexagon":
            return [ring(6)]
        case "diamond":
            return [points([-math.pi / 2, 0, math.pi / 2, math.pi], [r * 1.15, r * 0.75, r * 1.15, r * 0.75])]
        case "star":
            return [points([-math.pi / 2 + math.pi * k / 5 for k in range(10)], [r * 1.15, r * 0.48] * 5)]
        case "cross":
            arms = ((r, r * 0.33), (r * 0.33, r))
            return [[_turn(cx, cy, x, y, turn) for x, y in ((-p, -q), (p, -q), (p, q), (-p, q))] for p, q in arms]
        case "heart":
            t = np.linspace(0, 2 * math.pi, 40)
            x, y = 16 * np.sin(t) ** 3, -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
            return [[_turn(cx, cy, a * r / 16, b * r / 16, turn) for a, b in zip(x, y, strict=True)]]
        case _:
            raise ValueError(f"no such shape: {shape}")


def _turn(cx, cy, x, y, a):
    return cx + x * math.cos(a) - y * math.sin(a), cy + x * math.sin(a) + y * math.cos(a)


def places(rng, n: int, w: int, h: int, r: float) -> list[tuple[float, float]]:
    """n centres at least 2.15 r apart inside a w x h picture."""
    for _ in range(200):
        out = []
        for _ in range(40 * n):
            p = rng.uniform(r * 1.1, w - r * 1.1), rng.uniform(r * 1.1, h - r * 1.1)
            if all(math.dist(p, q) > 2.15 * r for q in out):
                out.append(p)
                if len(out) == n:
                    return out
        r *= 0.95
    return out


def centred(rng, sprites: Sprites):
    """A thing as emoji are usually given: whole, upright, in the middle, on one colour, mostly white."""
    names = sprites.names("thing")
    name = names[rng.integers(len(names))]
    bg = "white" if rng.random() < 0.6 else str(rng.choice(list(COLOURS)))
    image = Image.new("RGB", (128, 128), (255, 255, 255) if bg == "white" else jitter(rng, COLOURS[bg]))
    cx, cy = rng.normal(64, 2, 2)
    box = paste(rng, image, sprites.pick(rng, "thing", name, bg), cx, cy, 128 * rng.uniform(0.75, 1.0), 0)
    return image, {"t": "thing", "n": name, "bg": bg, "box": box}


def thing(rng, sprites: Sprites):
    names = sprites.names("thing")
    name = names[rng.integers(len(names))]
    image, bg = canvas(rng)
    m = min(image.size)
    size = m * rng.uniform(0.55, 1.0)
    slack = [max(0.0, (s - size) / 2 + size * 0.08) for s in image.size]
    sprite = sprites.pick(rng, "thing", name, bg)
    if rng.random() < 0.5:
        sprite = sprite.transpose(Image.FLIP_LEFT_RIGHT)
    cx, cy = (s / 2 + rng.uniform(-k, k) for s, k in zip(image.size, slack, strict=True))
    box = paste(rng, image, sprite, cx, cy, size)
    return image, {"t": "thing", "n": name, "bg": bg, "box": box}


def pair(rng, sprites: Sprites):
    names = sprites.names("thing")
    a, b = (names[i] for i in rng.choice(len(names), 2, replace=False))
    image, bg = canvas(rng)
    w, h = image.size
    rel, boxes = "left" if rng.random() < 0.5 else "above", []
    for k, name in enumerate((a, b)):
        along = (0.27 if k == 0 else 0.73) + rng.uniform(-0.03, 0.03)
        across = 0.5 + rng.uniform(-0.15, 0.15)
        x, y = (along, across) if rel == "left" else (across, along)
        sprite = sprites.pick(rng, "thing", name, bg)
        boxes.append(paste(rng, image, sprite, x * w, y * h, min(w, h) * rng.uniform(0.38, 0.5)))
    return image, {"t": "pair", "a": a, "b": b, "rel": rel, "bg": bg, "boxes": boxes}


def count(rng, sprites: Sprites):
    """One to six equal shapes or things."""
    n = int(rng.integers(1, 7))
    if rng.random() < 0.7:
        colour = str(rng.choice(list(COLOURS)))
        image, bg = canvas(rng, avoid=(colour,), plain=True)
        shape = str(rng.choice(SHAPES))
        r = min(image.size) * (rng.uniform(0.1, 0.16) if n > 3 else rng.uniform(0.12, 0.22))
        fill = jitter(rng, COLOURS[colour])
        for x, y in places(rng, n, *image.size, r):
            draw_shape(image, shape, fill, x, y, r, 0 if shape in ("circle", "diamond") else rng.normal(0, 0.15))
        return image, {"t": "count", "n": n, "s": shape, "c": colour, "bg": bg}
    names = sprites.names("thing")
    name = names[rng.integers(len(names))]
    image, bg = canvas(rng, plain=True)
    sprite = sprites.pick(rng, "thing", name, bg)
    r = min(image.size) * (rng.uniform(0.12, 0.16) if n > 3 else rng.uniform(0.14, 0.22))
    for x, y in places(rng, n, *image.size, r):
        paste(rng, image, sprite, x, y, 2 * r, 6)
    return image, {"t": "count", "n": n, "thing": name, "bg": bg}


def shapes(rng, sprites: Sprites):
    """One shape, or two in different colours with their relation."""
    two = rng.random() < 0.6
    ca, cb = (str(c) for c in rng.choice(list(COLOURS), 2, replace=False))
    sa, sb = (str(s) for s in rng.choice(SHAPES, 2, replace=False))
    image, bg = canvas(rng, avoid=(ca, cb) if two else (ca,), plain=rng.random() < 0.9)
    w, h = image.size
    m = min(w, h)
    if not two:
        r = m * rng.uniform(0.18, 0.42)
        cx, cy = rng.uniform(r, w - r), rng.uniform(r, h - r)
        box = draw_shape(image, sa, jitter(rng, COLOURS[ca]), cx, cy, r, rng.normal(0, 0.12))
        return image, {"t": "shape", "s": sa, "c": ca, "bg": bg, "box": box}
    rel, boxes = "left" if rng.random() < 0.5 else "above", []
    for k, (s, c) in enumerate(((sa, ca), (sb, cb))):
        along = (0.27 if k == 0 else 0.73) + rng.uniform(-0.04, 0.04)
        across = 0.5 + rng.uniform(-0.2, 0.2)
        x, y = (along, across) if rel == "left" else (across, along)
        fill, r = jitter(rng, COLOURS[c]), m * rng.uniform(0.13, 0.21)
        boxes.append(draw_shape(image, s, fill, x * w, y * h, r, rng.normal(0, 0.12)))
    return image, {"t": "two", "a": [ca, sa], "b": [cb, sb], "rel": rel, "bg": bg, "boxes": boxes}


def digit(rng, fonts: list[Path]):
    d = int(rng.integers(10))
    colour = str(rng.choice(list(COLOURS)))
    image, bg = canvas(rng, avoid=(colour,), plain=True)
    w, h = image.size
    font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), int(min(w, h) * rng.uniform(0.5, 1.05)))
    left, top, right, bottom = font.getbbox(str(d))
    ink = Image.new("L", (right - left + 8, bottom - top + 8), 0)
    ImageDraw.Draw(ink).text((4 - left, 4 - top), str(d), font=font, fill=255)
    ink = ink.rotate(rng.normal(0, 7), Image.BICUBIC, expand=True)
    sx, sy = max(0, (w - ink.width) / 2), max(0, (h - ink.height) / 2)
    x, y = (w - ink.width) / 2 + rng.uniform(-sx, sx), (h - ink.height) / 2 + rng.uniform(-sy, sy)
    image.paste(jitter(rng, COLOURS[colour]), (int(x), int(y)), ink)
    return image, {"t": "digit", "d": d, "c": colour, "bg": bg}


def flag(rng, sprites: Sprites):
    names = sprites.names("flag")
    name = names[rng.integers(len(names))]
    sprite = sprites.pick(rng, "flag", name)
    image, bg = canvas(rng)
    w, h = image.size
    if rng.random() < 0.5:
        box = sprite.getchannel("A").getbbox()
        sprite = sprite.crop(box).resize((int(w * rng.uniform(0.8, 1)), int(h * rng.uniform(0.6, 1))), Image.BICUBIC)
        image.paste(sprite, ((w - sprite.width) // 2, (h - sprite.height) // 2), sprite)
    else:
        paste(
            rng, image, sprite, w / 2 * rng.uniform(0.9, 1.1), h / 2 * rng.uniform(0.9, 1.1), min(w, h) * rng.uniform(0.65, 1), 4
        )
    return image, {"t": "flag", "n": name, "bg": bg}


class Art(NamedTuple):
    """What pictures are made from."""

    sprites: Sprites
    fonts: list[Path]
    photos: Photos


def draw(rng: np.random.Generator, task: str, art: Art, tile: int) -> tuple[np.ndarray, dict]:
    """A tile [S, S, 3] u8 of the given task and the record of what it shows."""
    if task == "digit":
        image, record = digit(rng, art.fonts)
    elif task == "photo":
        image, record = art.photos.pick(rng)
    else:
        maker = {"thing": thing, "centred": centred, "pair": pair, "count": count, "shape": shapes, "flag": flag}[task]
        image, record = maker(rng, art.sprites)
    return squeeze(image, tile), record


def squeeze(image: Image.Image, tile: int) -> np.ndarray:
    """The whole picture as one tile [S, S, 3] u8, as the engine resizes it."""
    return np.asarray(image.convert("RGB").resize((tile, tile), Image.BICUBIC))
