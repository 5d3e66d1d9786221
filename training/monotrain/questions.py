"""What is asked and answered about a picture: many phrasings, several turns, honest "I don't know that"."""

import tomllib

import numpy as np

from .vocabulary import COLOURS, DATA, NUMBERS, SHAPES, countries, photographed, said, things

THINGS = {t.name: t for t in things()}
KINDS = sorted({t.kind for t in THINGS.values()})
ASKABLE = set("animal bird insect plant fruit vegetable food drink vehicle building instrument tool ball".split())
BY_KIND = {k: [t.name for t in THINGS.values() if t.kind == k] for k in KINDS}
PHOTOS = photographed()
COUNTRIES = {name: (capital, continent) for _, name, capital, continent in countries()}

PHRASINGS = tomllib.loads((DATA / "phrasings.toml").read_text())
NAME, NAME_KIND, KIND = (PHRASINGS[k] for k in ("name", "name_kind", "kind"))
BACKGROUND, COLOUR, SHAPE = (PHRASINGS[k] for k in ("background", "colour", "shape"))
IS_IT, DESCRIBE, UNKNOWN = (PHRASINGS[k] for k in ("is_it", "describe", "unknown"))
HOW_MANY, DIGIT, WHERE = (PHRASINGS[k] for k in ("how_many", "digit", "where"))
FLAG, CAPITAL, CONTINENT = (PHRASINGS[k] for k in ("flag", "capital", "continent"))
IS_THERE = IS_IT[2:]
DONT_KNOW = "I don't know that."
SMALL_TALK = [(sum((PHRASINGS[k] for k in t.get("like", [])), []) + t["questions"], t["answer"]) for t in PHRASINGS["small_talk"]]

Turn = tuple[str, str]


def knows(record: dict, only_core: bool) -> bool:
    """Whether the model is to know everything that a picture shows."""
    names = [record[k] for k in ("n", "a", "b", "thing") if isinstance(record.get(k), str)]
    return record.get("t") == "photo" or not only_core or all(THINGS[n].core for n in names if n in THINGS)


def rivals(name: str) -> list[str]:
    """Other things of the same kind; for a core name other core names, as the rest is never right while it is left out."""
    t = THINGS[name]
    return [o for o in BY_KIND[t.kind] if o != name and (THINGS[o].core or not t.core)]


def plural(word: str) -> str:
    return word + ("es" if word.endswith("s") else "s")


def one(rng: np.random.Generator, items):
    return items[int(rng.integers(len(items)))]


def ask(rng, phrasings, **words) -> str:
    """One of the phrasings; {c} is "colour" in either spelling."""
    return one(rng, phrasings).format(c="color" if rng.random() < 0.5 else "colour", **words)


def background(bg: str | None) -> str:
    return f" on a {bg} background" if bg and bg[0] not in "aeio" else f" on an {bg} background" if bg else ""


def decided(seen: str, yes: bool, told: str = "It is") -> str:
    """The answer to a yes/no question. What is seen comes first, so that the last word is a comparison of words, which the
    language model knows; the bare word, as the first training had it, stayed at chance. So did an answer that began with the
    thing: its name was another piece of the tokenizer ("a dog") than in the question (" a dog"), which the first words mend."""
    return f"{told} {seen}, so {'yes' if yes else 'no'}"


def is_it(rng, right: str, others) -> Turn:
    """A yes/no question, as often wrong as right."""
    yes = rng.random() < 0.5
    maybe = right if yes else one(rng, [o for o in others if o != right] or [o for o in THINGS if o != right])
    return ask(rng, IS_IT, x=said(maybe)), decided(said(right), yes)


def guess(rng, right: str, rivals_of, known) -> list[Turn]:
    """A yes/no question that opens a conversation: after an answer that names the thing, words alone would do, and the
    picture need not be looked at."""
    return [is_it(rng, right, rivals_of if rng.random() < 0.6 else known)]


def grounded(phrase: str, box) -> str:
    """A phrase with its box in the official format, given in parts of the sides. Thousandths in tens: finer than a pixel
    of the tile, and no last digit to be learned that nothing tells."""
    corners = ", ".join(str(10 * round(100 * v)) for v in box)
    return f"<ref>{phrase}</ref><box>[[{corners}]]</box>"


def where(rng, called: str, phrase: str, box) -> Turn:
    return ask(rng, WHERE, x=called), grounded(phrase, box)


def about_thing(rng, r: dict) -> list[Turn]:
    t = THINGS[r["n"]]
    name = (ask(rng, NAME_KIND, k=t.kind) if t.kind in ASKABLE and rng.random() < 0.15 else ask(rng, NAME), t.said)
    roll = rng.random()
    if roll < 0.25:
        return guess(rng, t.name, rivals(t.name), [o for o in THINGS if THINGS[o].core or not t.core])
    if roll < 0.32 and "box" in r:
        return [where(rng, t.name, t.said, r["box"]), name]
    rest = [(ask(rng, KIND), said(t.kind))]
    if r["bg"]:
        rest.append((ask(rng, BACKGROUND), r["bg"]))
    rest.append((ask(rng, DESCRIBE), caption(r)) if rng.random() < 0.5 else (one(rng, UNKNOWN), DONT_KNOW))
    rng.shuffle(rest)
    if rng.random() < 0.8:
        return [name, *rest]
    rest.insert(1, name)
    return rest


def is_there(rng, shown: tuple[str, str], others: list[str]) -> Turn:
    """Whether one of two things is in the picture; yes as often as no."""
    yes = rng.random() < 0.5
    maybe = one(rng, shown if yes else [o for o in others if o not in shown])
    return ask(rng, IS_THERE, x=said(maybe)), decided(f"{said(shown[0])} and {said(shown[1])}", yes, "I see")


def about_pair(rng, r: dict) -> list[Turn]:
    a, b = THINGS[r["a"]].said, THINGS[r["b"]].said
    first, second = ("on the left", "on the right") if r["rel"] == "left" else ("at the top", "at the bottom")
    before, after = ("left of", "right of") if r["rel"] == "left" else ("above", "below")
    the_a, the_b = f"the {r['a']}", f"the {r['b']}"
    turns = [
        (f"What is {first}?", a),
        (f"What is {second}?", b),
        (f"What is {after} {the_a}?", b),
        (f"What is {before} {the_b}?", a),
        (one(rng, ("What do you see?", "What is in the picture?", "What are these?")), f"{a} and {b}"),
        (one(rng, ("How many things are there?", "How many things do you see?")), "two"),
        is_there(rng, (r["a"], r["b"]), [o for o in THINGS if THINGS[o].core]),
    ]
    turns += [where(rng, n, said(n), box) for n, box in zip((r["a"], r["b"]), r.get("boxes", ()), strict=False)]
    rng.shuffle(turns)
    return [tuple(t) for t in turns[:2]]


def about_count(rng, r: dict) -> list[Turn]:
    what = plural(r["s"]) if "s" in r else "things"
    turns = [(ask(rng, HOW_MANY, x=what if rng.random() < 0.8 else "things"), NUMBERS[r["n"]])]
    if "s" in r:
        turns.append((ask(rng, ["What {c} are they?", "What {c} are the {x}?"], x=what), r["c"]))
        turns.append((one(rng, ("What shapes are they?", "What are they?")), what))
        several = f"{NUMBERS[r['n']]} {r['c']} {plural(r['s'])}" if r["n"] > 1 else said(r["s"])
        turns.append((one(rng, ("What is this?", "What do you see?", "What is in the picture?")), several))
    else:
        turns.append((one(rng, ("What is it?", "What are these?", "What do you see?")), THINGS[r["thing"]].said))
    if rng.random() < 0.3:
        rng.shuffle(turns)
    return [tuple(t) for t in turns]


def about_shape(rng, r: dict) -> list[Turn]:
    shape = (ask(rng, SHAPE), said(r["s"]))
    turns = [(ask(rng, COLOUR, x=r["s"]), r["c"]), (ask(rng, DESCRIBE), caption(r))]
    if r["bg"]:
        turns.append((ask(rng, BACKGROUND), r["bg"]))
    right = rng.random() < 0.5
    if rng.random() < 0.5:
        maybe = r["c"] if right else one(rng, [c for c in COLOURS if c != r["c"]])
        turns.append((ask(rng, [f"Is the {r['s']} {{x}}?", "Is it {x}?"], x=maybe), decided(r["c"], right)))
    else:
        maybe = r["s"] if right else one(rng, [s for s in SHAPES if s != r["s"]])
        turns.append((ask(rng, IS_IT, x=said(maybe)), decided(said(r["s"]), right)))
    if "box" in r:
        turns.append(where(rng, r["s"], said(f"{r['c']} {r['s']}"), r["box"]))
    rng.shuffle(turns)
    turns.insert(0 if rng.random() < 0.5 else 1, shape)
    return [tuple(t) for t in turns]


def about_two(rng, r: dict) -> list[Turn]:
    (ca, sa), (cb, sb) = r["a"], r["b"]
    a, b = said(f"{ca} {sa}"), said(f"{cb} {sb}")
    before, after = ("left of", "right of") if r["rel"] == "left" else ("above", "below")
    first, second = ("on the left", "on the right") if r["rel"] == "left" else ("at the top", "at the bottom")
    truly, straight = rng.random() < 0.5, rng.random() < 0.5
    x, y = (sa, sb) if straight else (sb, sa)
    how = before if truly == straight else after
    turns = [
        (f"What is {before} the {sb}?", a),
        (f"What is {after} the {sa}?", b),
        (f"What is {first}?", a),
        (f"What is {second}?", b),
        (ask(rng, COLOUR[2:], x=sa), ca),
        (ask(rng, COLOUR[2:], x=sb), cb),
        (f"What shape is {ca}?", said(sa)),
        (f"What shape is {cb}?", said(sb)),
        (f"Is the {x} {how} the {y}?", decided(f"{sa} is {first}", truly, "The")),
        is_there(rng, (f"{ca} {sa}", f"{cb} {sb}"), [f"{c} {s}" for c in (ca, cb) for s in SHAPES]),
        (one(rng, ("What do you see?", "What is in the picture?", "Describe the picture.")), f"{a} and {b}"),
    ]
    for c, s, box in zip((ca, cb), (sa, sb), r.get("boxes", ()), strict=False):
        turns.append(where(rng, s if rng.random() < 0.5 else f"{c} {s}", said(f"{c} {s}"), box))
    return [turns[i] for i in rng.permutation(len(turns))[:3]]


def about_digit(rng, r: dict) -> list[Turn]:
    turns = [(ask(rng, DIGIT), str(r["d"])), (ask(rng, COLOUR[:1] + COLOUR[2:], x=one(rng, ("digit", "number"))), r["c"])]
    if r["bg"]:
        turns.append((ask(rng, BACKGROUND), r["bg"]))
    return turns


def about_flag(rng, r: dict) -> list[Turn]:
    capital, continent = COUNTRIES[r["n"]]
    turns = [(ask(rng, FLAG), r["n"]), (ask(rng, CAPITAL), capital), (ask(rng, CONTINENT), continent)]
    return turns if rng.random() < 0.85 else [("What is this?", f"the flag of {r['n']}"), *turns[1:]]


def about_photo(rng, r: dict) -> list[Turn]:
    words, kind = PHOTOS[r["n"]]
    name = (ask(rng, NAME_KIND, k=kind) if kind in ASKABLE and rng.random() < 0.15 else ask(rng, NAME), words)
    if rng.random() < 0.15:
        alike = [w for w, k in PHOTOS.values() if w != words and (k == kind or rng.random() < 0.2)]
        yes = rng.random() < 0.5
        return [(ask(rng, IS_IT, x=words if yes else one(rng, alike)), decided(words, yes))]
    rest = [(ask(rng, KIND), said(kind)), (ask(rng, DESCRIBE), caption(r)), (one(rng, UNKNOWN), DONT_KNOW)]
    rng.shuffle(rest)
    return [name, *map(tuple, rest[:2])] if rng.random() < 0.85 else [tuple(rest[0]), name]


ABOUT = {
    "thing": about_thing, "pair": about_pair, "count": about_count, "shape": about_shape,
    "two": about_two, "digit": about_digit, "flag": about_flag, "photo": about_photo,
}  # fmt: skip


def turns(rng: np.random.Generator, record: dict, most: int = 3) -> list[Turn]:
    """One to `most` question turns about a picture."""
    return ABOUT[record["t"]](rng, record)[: int(rng.integers(1, most + 1))]


def caption(r: dict) -> str:
    """A clean caption."""
    bg = background(r.get("bg"))
    match r["t"]:
        case "thing":
            return THINGS[r["n"]].said + bg
        case "photo":
            return f"a photo of {PHOTOS[r['n']][0]}"
        case "pair":
            return f"{THINGS[r['a']].said} {'left of' if r['rel'] == 'left' else 'above'} {THINGS[r['b']].said}"
        case "count" if "s" in r:
            return f"{NUMBERS[r['n']]} {r['c']} {r['s'] if r['n'] == 1 else plural(r['s'])}{bg}"
        case "count":
            return f"{THINGS[r['thing']].said}, {NUMBERS[r['n']]} of them" if r["n"] > 1 else THINGS[r["thing"]].said
        case "shape":
            return said(f"{r['c']} {r['s']}") + bg
        case "two":
            (ca, sa), (cb, sb) = r["a"], r["b"]
            return f"{said(f'{ca} {sa}')} {'left of' if r['rel'] == 'left' else 'above'} {said(f'{cb} {sb}')}"
        case "digit":
            return f"the digit {r['d']} in {r['c']}{bg}"
        case _:
            return f"the flag of {r['n']}"


def tags(rng: np.random.Generator, r: dict) -> str:
    """Noisy keywords of a picture, in any order, some missing and now and then a wrong one."""
    words = [r[k] for k in ("n", "s", "c", "bg", "a", "b", "thing") if isinstance(r.get(k), str)]
    words += [THINGS[w].kind for w in words if w in THINGS]
    words = [said(w) if w in THINGS else w for w in words]
    words += [w for k in ("a", "b") if isinstance(r.get(k), list) for w in r[k]]
    if r["t"] == "digit":
        words.append(str(r["d"]))
    if r["t"] == "count":
        words.append(NUMBERS[r["n"]])
    words = [w for w in words if rng.random() > 0.15] or words[:1]
    if rng.random() < 0.1:
        words.append(said(one(rng, list(THINGS))))
    rng.shuffle(words)
    return ", ".join(dict.fromkeys(words[:5]))


def text_turns(rng: np.random.Generator) -> list[Turn]:
    """A short conversation without a picture: small talk and facts about what the model knows."""
    out = []
    for _ in range(int(rng.integers(1, 4))):
        roll = rng.random()
        if roll < 0.4:
            questions, answer = SMALL_TALK[int(rng.integers(len(SMALL_TALK)))]
            out.append((one(rng, questions), answer))
        elif roll < 0.7:
            t = one(rng, list(THINGS.values()))
            if rng.random() < 0.6 or t.kind in ("sky", "body"):
                out.append((one(rng, ("What is {}?", "What kind of thing is {}?")).format(t.said), said(t.kind)))
            else:
                k = t.kind if rng.random() < 0.5 else one(rng, sorted(ASKABLE))
                out.append((f"Is {t.said} {said(k)}?", "yes" if k == t.kind else "no"))
        elif roll < 0.9:
            name = one(rng, list(COUNTRIES))
            capital, continent = COUNTRIES[name]
            if rng.random() < 0.6:
                out.append((f"What is the capital of {name}?", capital))
            else:
                out.append((one(rng, ("Where is {}?", "On which continent is {}?")).format(name), continent))
        else:
            a = int(rng.integers(0, 6))
            b = int(rng.integers(0, 10 - a)) if a else int(rng.integers(10))
            out.append((one(rng, ("What is {} plus {}?", "What is {} + {}?")).format(a, b), str(a + b)))
    return out


__all__ = ["SHAPES", "caption", "tags", "text_turns", "turns"]
