"""What the model is to know: things, colours, shapes, numbers, countries, and how to say them."""

from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"
COLOUR_STYLES = (
    "noto", "noto-v1", "fluent-emoji", "fluent-emoji-flat", "fluent-emoji-3d", "fxemoji", "emojione", "streamline-emojis",
)  # fmt: skip
# Silhouettes, given a random colour when drawn: they teach the outline.
MONO_STYLES = ("fluent-emoji-high-contrast", "emojione-monotone")
TRAIN_STYLES = COLOUR_STYLES + MONO_STYLES
HELD_OUT_STYLES = ("twemoji", "openmoji")

COLOURS = {
    "red": (218, 36, 40),
    "orange": (245, 140, 20),
    "yellow": (250, 220, 40),
    "green": (48, 160, 62),
    "blue": (38, 86, 205),
    "purple": (130, 50, 165),
    "pink": (250, 150, 190),
    "brown": (125, 75, 35),
    "black": (22, 22, 22),
    "white": (250, 250, 250),
    "gray": (135, 135, 138),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "diamond", "hexagon")
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Names spoken with "some" or "a pair of" in place of "a".
_SOME = """grapes cherries peanuts pancakes bread cheese meat bacon fries salad popcorn rice noodles spaghetti sushi
chocolate honey milk coffee tea wine beer champagne rain lightning fire money soap corn books candy""".split()
_PAIR = "jeans glasses sunglasses headphones scissors socks".split()
_KINDS = {
    "food": "some food",
    "clothing": "something to wear",
    "sky": "something in the sky",
    "body": "a part of the body",
}


@dataclass(frozen=True)
class Thing:
    """A nameable thing and the emoji that show it."""

    name: str
    kind: str
    slugs: tuple[str, ...] = field(repr=False)
    core: bool = False

    @property
    def said(self) -> str:
        """The name with its article."""
        return said(self.name)


def said(name: str) -> str:
    """A name with its article: "a cat", "an owl", "some grapes", "a pair of jeans"."""
    if name in _KINDS:
        return _KINDS[name]
    if name in _SOME:
        return f"some {name}"
    if name in _PAIR:
        return f"a pair of {name}"
    if name in ("in love",):
        return "a face in love"
    return ("an " if name[0] in "aeio" or name == "umbrella" else "a ") + name


def things() -> list[Thing]:
    """All things of `data/things.txt`, in its order."""
    out = []
    for line in (DATA / "things.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, kind, slugs = (part.strip() for part in line.split("|"))
            core, name = name.startswith("* "), name.removeprefix("* ")
            out.append(Thing(name, kind, tuple(s.strip() for s in slugs.split(",")), core))
    return out


def photographed() -> dict[str, tuple[str, str]]:
    """Name in the photographs' data sets -> (what is said, kind), of `data/photos.txt`."""
    rows = (DATA / "photos.txt").read_text().splitlines()
    parts = [[p.strip() for p in r.split("|")] for r in rows if r and not r.startswith("#")]
    return {name: (words, kind) for name, words, kind in parts}


def countries() -> list[tuple[str, str, str, str]]:
    """(ISO code, name, capital, continent) of `data/countries.txt`."""
    rows = (DATA / "countries.txt").read_text().splitlines()
    return [tuple(p.strip() for p in r.split("|")) for r in rows if r and not r.startswith("#")]
