"""How fast it is, beside what the card can do and beside PyTorch."""

from gpu_check import pytorch
from gpu_check.session import Skipped

# Visual tokens of the papers' prompts in tiles of 256, each with 256 tokens of text; 120 tokens of answer.
TTFT = "3:256,7:256,15:256"
DEPTHS = "1024,2048,4096"


def ceilings(s):
    """What the card can do: copies and bf16 products."""
    if s.rehearse:
        raise Skipped("a rehearsal")
    found = pytorch.ceilings()
    return {"What the card can do, measured by PyTorch in this run": [found]}, \
        f"copy {found['copy, GB/s']} GB/s, bf16 product {found['bf16 product, TFLOP/s']} TFLOP/s"


def mmoe(s):
    """Routed FFN against computing both and against gathering."""
    if s.rehearse:
        command = ["--random", "tiny", "--tokens", "64,128", "--visual", "0,50,75"]
    else:
        command = ["--random", "mono-2b", "--tokens", "1024,4096,16384,65536,131072", "--visual", "0,10,50,75,90,100"]
    rows = s.rows("mmoe", ["bench", "mmoe", *command], 100)
    return {"Routed FFN of one layer, Monolens": rows}, break_even(rows)


def break_even(rows):
    """Where routing is not the fastest."""
    slower = [f"{row['tokens']} tokens, {row['visual']}, {row['order']}" for row in rows
              if float(row["both / routed"]) < 1 or float(row["gathered / routed"]) < 1]
    return f"slower than an alternative at: {'; '.join(slower[:4])}" if slower else "at no mix slower than an alternative"


def mmoe_in_pytorch(s):
    """Routed FFN in PyTorch: both and blend, gather and scatter."""
    tokens = [32] if s.rehearse else [1024, 4096, 16384, 65536]
    sizes = (64, 128) if s.rehearse else (2048, 8192)
    rows = pytorch.mmoe(tokens, [0, 10, 50, 75, 90, 100], sizes, "cpu" if s.rehearse else "cuda")
    return {"Routed FFN of one layer, PyTorch (bf16, cuBLAS)": rows}


def speed(s, preset, answers):
    """Prompts, answers and first tokens of a model."""
    if s.rehearse:
        command = ["--random", "tiny", "--pp", "16", "--tg", "4", "--depth", "0", "--batch", "1,2", "--ttft", "1:8",
                   "--repeat", "1"]
    else:
        command = ["--random", preset, "--pp", "1024" if not answers else DEPTHS, "--depth", "0", "--tg", "0",
                   "--ttft", TTFT]
    rows = s.rows(f"speed of {preset}", ["bench", *command], 90)
    if answers and not s.rehearse:
        rows += s.rows(f"answers of {preset}", ["bench", "--random", preset, "--pp", "0", "--tg", "120", "--depth",
                                                DEPTHS, "--batch", "1,16", "--repeat", "3"], 90)
    return {f"Speed of {preset}": [row | shares(s, row) for row in rows]}


def shares(s, row):
    """A row's rates as shares of what the card can do."""
    found = next((t for d in s.done.values() for name, t in d["tables"].items() if name.startswith("What the card")), None)
    if not found:
        return {}
    card, more = found[0], {}
    if isinstance(row.get("GB/s"), (int, float)):
        more["of copy"] = f"{100 * row['GB/s'] / card['copy, GB/s']:.0f} %"
    if isinstance(row.get("GFLOP/s"), (int, float)):
        more["of bf16 product"] = f"{row['GFLOP/s'] / card['bf16 product, TFLOP/s'] / 10:.0f} %"
    return more


def mono(s):
    """First token, prompts and answers of Mono-InternVL."""
    return speed(s, "mono-2b", True)


def mono15(s):
    """First token of Mono-InternVL-1.5."""
    return speed(s, "mono15-2b", False)


def modular(s):
    """First token of the modular InternVL-1.5."""
    return speed(s, "modular-2b", False)
