"""How fast it is, beside what the card can do and beside PyTorch."""

from gpu_check import pytorch, shapes
from gpu_check.session import Failed, Skipped

TOKENS = (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
VISUAL = (0, 10, 50, 75, 90, 100)
MMOE = "Routed FFN of one layer, Monolens"
MMOE_PYTORCH = "Routed FFN of one layer, PyTorch"
CEILINGS = "What the card can do"
# Width and inner width of the routed FFN: of Mono-InternVL-2B, and of the tiny model of a rehearsal.
SIZES = {False: (2048, 8192), True: (64, 128)}


def listed(numbers):
    return ",".join(str(n) for n in numbers)


def ceilings(s):
    """What the card can do: copies and bf16 products."""
    if s.rehearse:
        raise Skipped("a rehearsal")
    found = pytorch.ceilings()
    return {f"{CEILINGS}, measured by PyTorch in this run": [found]}, \
        f"copy {found['copy, GB/s']} GB/s, bf16 product {found['bf16 product, TFLOP/s']} TFLOP/s"


def mmoe(s):
    """Routed FFN against computing both and against gathering."""
    if s.rehearse:
        command = ["--random", "tiny", "--tokens", "64,128", "--visual", "0,50,75"]
    else:
        command = ["--random", "mono-2b", "--tokens", listed(TOKENS), "--visual", listed(VISUAL), "--seconds", "1"]
    rows = s.rows("mmoe", ["bench", "mmoe", *command], 120)
    return {f"{MMOE} (plain products by cuBLASLt where it is there)": rows}, told(break_even(rows))


def break_even(rows):
    """Where along the share of visual rows routing stops being faster than an alternative: for each number of tokens, order
    and alternative the shares, between those measured, at which both take equally long."""
    points = []
    keys = dict.fromkeys(key for row in rows for key in row if key.endswith(" / routed"))
    for tokens in sorted({row["tokens"] for row in rows}):
        for order in ("runs", "interleaved"):
            for key in keys:
                line = sorted((share(row), float(row[key])) for row in rows
                              if key in row and row["tokens"] == tokens and belongs(row, order))
                if not line:
                    continue
                point = {"tokens": tokens, "order": order, "against": key.removesuffix(" / routed"),
                         "least ratio": min(y for _, y in line), "equal at, % visual": crossings(line),
                         "slower at, % visual": listed(f"{x:g}" for x, y in line if y < 1)}
                points.append(point)
    return points


def belongs(row, order):
    """All text and all visual have no order."""
    return row["order"] == order or row["visual"] in ("0 %", "100 %")


def share(row):
    return float(row["visual"].rstrip(" %"))


def crossings(line):
    """Where a line of points crosses 1, as text."""
    found = []
    for (x, y), (x2, y2) in zip(line, line[1:]):
        if (y - 1) * (y2 - 1) < 0:
            found.append(f"{x + (x2 - x) * (1 - y) / (y2 - y):.0f}")
    return ", ".join(found)


def told(points):
    slower = [f"{p['tokens']} tokens in {p['order']} than {p['against']} at {p['slower at, % visual']} %" for p in points
              if p["slower at, % visual"]]
    if not slower:
        return "no break-even: routing at no mix slower than an alternative"
    more = f" and {len(slower) - 4} more" if len(slower) > 4 else ""
    return f"routing is slower: {'; '.join(slower[:4])}{more}"


def mmoe_in_pytorch(s):
    """Routed FFN in PyTorch: both and blend, gather and scatter."""
    sizes = SIZES[s.rehearse]
    tokens, shares_ = ([64, 128], [0, 50, 75]) if s.rehearse else (TOKENS, VISUAL)
    rows = pytorch.mmoe(tokens, shares_, sizes, "cpu" if s.rehearse else "cuda")
    return {f"{MMOE_PYTORCH} (bf16, cuBLAS)": rows}


def instructions(s):
    """What instructions of the card's own could save in the routed FFN."""
    rows = rates(s.table(MMOE), s.table(MMOE_PYTORCH), s.table(CEILINGS), SIZES[s.rehearse])
    if not rows:
        raise Skipped("no table of the routed FFN")
    best = rows[-1]
    detail = f"at {best['tokens']} tokens {best['routed, TFLOP/s']:.3g} TFLOP/s, cuBLASLt {best['cuBLASLt, TFLOP/s']:.3g}"
    if best["at most saved"]:
        detail += f": a kernel as fast would save {best['at most saved']} of the routed FFN"
    return {"The routed FFN's rate, all rows of one kind, beside the same products by cuBLASLt (WGMMA on Hopper)": rows}, detail


def rates(routed, pytorch_rows, card, sizes):
    """Rates where all rows are text: then the routed kernel does what plain products do, and cuBLASLt has kernels with
    whatever instructions the card has. `both` is twice the work."""
    others, rows = {row["tokens"]: row for row in pytorch_rows if row["visual"] == "0 %"}, []
    for row in (row for row in routed if row["visual"] == "0 %"):
        work = 6 * row["tokens"] * sizes[0] * sizes[1] / 1e12
        own, library = work / float(row["routed, s"]), 2 * work / float(row["both, s"])
        found = {"tokens": row["tokens"], "routed, TFLOP/s": own, "cuBLASLt, TFLOP/s": library}
        if other := others.get(row["tokens"]):
            found["PyTorch, TFLOP/s"] = 2 * work / other["both, s"]
        if card:
            found["routed, of bf16 product"] = f"{100 * own / card[0]['bf16 product, TFLOP/s']:.0f} %"
        fastest = max(library, found.get("PyTorch, TFLOP/s", 0))
        found["at most saved"] = f"{100 * (1 - own / fastest):.0f} %" if fastest > own else None
        rows.append(found)
    return rows


def products(s):
    """Plain products by cuBLASLt against those by Monolens' own kernels."""
    rows = []
    for gemm in ("own", "cublaslt"):
        if s.rehearse:
            model, command = "tiny", ["--pp", "80", "--tg", "0", "--repeat", "1"]
        else:
            model, command = "modular-2b", ["--pp", "512,2048", "--tg", "0", "--ttft", f"3:{shapes.TEXT}", "--repeat", "3"]
        try:
            found = s.rows(f"products by {gemm}", ["bench", "--random", model, "--depth", "0", *command], 60,
                           MONOLENS_GEMM=gemm)
        except Failed as reason:
            if gemm == "cublaslt" and "cuBLASLt is not available" in str(reason):
                raise Skipped("no cuBLASLt on this machine: own kernels everywhere") from None
            raise
        rows += [{"products": gemm} | row | shares(s, row) for row in found]
    return {"Plain products: own kernels and cuBLASLt": rows}


def speed(s, preset, answers):
    """Prompts, answers and first tokens of a model."""
    if s.rehearse:
        command = ["--random", "tiny", "--pp", "16", "--tg", "4", "--depth", "0", "--batch", "1,2", "--ttft", "1:8",
                   "--repeat", "1"]
    else:
        command = ["--random", preset, "--pp", shapes.depths() if answers else "1024", "--depth", "0", "--tg", "0",
                   "--batch", listed(shapes.CONCURRENCY), "--ttft", shapes.ttft()]
    rows = s.rows(f"speed of {preset}", ["bench", *command], 90)
    if answers and not s.rehearse:
        rows += s.rows(f"answers of {preset}",
                       ["bench", "--random", preset, "--pp", "0", "--tg", str(shapes.ANSWER), "--depth", shapes.depths(),
                        "--batch", listed(shapes.CONCURRENCY), "--repeat", "3"], 90)
    rows = [row | shares(s, row) for row in rows]
    return {f"Speed of {preset}": rows}, aims(rows)


def shares(s, row):
    """A row's rates as shares of what the card can do."""
    card, more = s.table(CEILINGS), {}
    if not card:
        return {}
    if isinstance(row.get("GB/s"), (int, float)):
        more["of copy"] = f"{100 * row['GB/s'] / card[0]['copy, GB/s']:.0f} %"
    if isinstance(row.get("GFLOP/s"), (int, float)):
        more["of bf16 product"] = f"{row['GFLOP/s'] / card[0]['bf16 product, TFLOP/s'] / 10:.0f} %"
    return more


def aims(rows):
    """The shares that are aimed at beside what was reached: decoding alone, reading the longest prompt."""
    told_ = []
    for kind, what, key in (("tg", "decoding", "of copy"), ("pp", "reading", "of bf16 product")):
        found = [row for row in rows if row["test"].startswith(kind) and " x " not in row["test"] and row.get(key)]
        if found:
            told_.append(f"{what} {found[-1][key]} {key} (aim {shapes.AIMS[key]} %), {found[-1]['test']}")
    return "; ".join(told_)


def mono(s):
    """First token, prompts and answers of Mono-InternVL."""
    return speed(s, "mono-2b", True)


def mono15(s):
    """First token of Mono-InternVL-1.5."""
    return speed(s, "mono15-2b", False)


def modular(s):
    """First token of the modular InternVL-1.5."""
    return speed(s, "modular-2b", False)
