"""Plain English for stage 0: the glosses of WordNet (Debian package `wordnet-base`)."""

from pathlib import Path


def glosses(state: Path, parts: tuple[str, ...] = ("noun", "adj", "verb")) -> list[str]:
    """Lines "word: gloss", short ones of common (single-word) entries, in a fixed shuffled order."""
    import numpy as np

    out = []
    for part in parts:
        for line in (state / "wordnet/usr/share/wordnet" / f"data.{part}").read_text(errors="replace").splitlines():
            if line.startswith("  ") or "|" not in line:
                continue
            head, gloss = line.split("|", 1)
            word = head.split()[4].replace("_", " ").split("(")[0]
            gloss = gloss.strip().split(";")[0].strip()
            if word.islower() and word.isascii() and gloss.isascii() and len(word) < 14 and 8 < len(gloss) < 70:
                out.append(f"{word}: {gloss}")
    order = np.random.default_rng(3).permutation(len(out))
    return [out[i] for i in order]
