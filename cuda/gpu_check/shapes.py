"""The shapes of the papers' measurements, and what they found."""

# Tiles of 256 visual tokens, each prompt with 256 tokens of text; tokens of the answer; requests at once.
TILES = (3, 7, 15)
TEXT = 256
ANSWER = 120
CONCURRENCY = (1, 16)
# Seconds to the first token of Mono-InternVL and of the modular InternVL-1.5 on an A100, 16 requests at once.
PAPER = {3: (0.09, 0.24), 7: (0.15, 0.45), 15: (0.79, 1.93)}
# How much less Mono-InternVL's first token takes than the modular model's.
LESS = {3: "63 %", 7: "67 %", 15: "59 %"}
LESS_15 = "up to 69 %"
# What Mono-InternVL-1.5's fused kernel adds to its speed.
FUSED = "+26 %"
# Shares of the copy bandwidth in decoding and of the bf16 product rate in reading that are aimed at, in per cent.
AIMS = {"of copy": 85, "of bf16 product": 70}


def ttft():
    """As `monolens bench --ttft` takes them."""
    return ",".join(f"{tiles}:{TEXT}" for tiles in TILES)


def depths():
    """Tokens before an answer, as `monolens bench --depth` takes them."""
    return ",".join(str(256 * tiles + TEXT) for tiles in TILES)
