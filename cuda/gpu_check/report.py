"""What was found, as Markdown, JSON and pictures."""

import json
import platform
import re
import time

from gpu_check import benchmarks, plot, shapes

MODELS = ("mono-2b", "mono15-2b", "modular-2b")
TTFT = re.compile(r"ttft(?: x (\d+))?, (\d+) tiles")


def as_markdown(rows):
    if not rows:
        return "(nothing)\n"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(row.get(c)) for c in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def cell(value):
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")


def first_tokens(tables):
    """Seconds to the first token of the models beside each other, by tiles and requests at once: Monolens, PyTorch the
    official way, and how much less each Mono-InternVL takes than the modular model, with the papers' figures."""
    ours, theirs = {}, {}
    for model in MODELS:
        for row in tables.get(f"Speed of {model}", []):
            if found := TTFT.match(row["test"]):
                ours.setdefault((int(found[2]), int(found[1] or 1)), {})[model] = row["s"]
    for row in next((rows for name, rows in tables.items() if name.startswith("First token and answers in PyTorch")), []):
        if "first token, s" in row:
            theirs.setdefault((row["tiles"], row["requests"]), {})[f"{row['model']}-2b"] = row["first token, s"]
    rows = []
    for tiles, requests in sorted(ours.keys() | theirs.keys()):
        row = {"tiles": tiles, "requests": requests}
        for name, found in (("", ours.get((tiles, requests), {})), ("PyTorch ", theirs.get((tiles, requests), {}))):
            row |= {f"{name}{model}, s": found.get(model) for model in MODELS}
            for model in MODELS[:2]:
                row[f"{name}{model}: less"] = less(found.get(model), found.get(MODELS[2]))
        # The papers' figures are of 16 requests at once.
        row["papers, mono: less"], row["papers, mono15: less"] = shapes.LESS.get(tiles), shapes.LESS_15
        if tiles in shapes.PAPER and requests == 16:
            row["papers (A100): mono, modular, s"] = ", ".join(str(seconds) for seconds in shapes.PAPER[tiles])
        rows.append(row)
    return rows


def less(mono, modular):
    return f"{100 * (1 - mono / modular):.0f} %" if mono and modular else None


def alternatives(tables):
    """Monolens' routed FFN beside every alternative, its own and PyTorch's, as how many times as long they take."""
    of = lambda beginning: next((rows for name, rows in tables.items() if name.startswith(beginning)), [])
    mix = lambda row: (row["tokens"], row["visual"], row["order"])
    pytorch = {mix(row): row for row in of(benchmarks.MMOE_PYTORCH)}
    rows = []
    for row in of(benchmarks.MMOE):
        joined = {key: row[key] for key in ("tokens", "visual", "order", "routed, s", "both / routed", "gathered / routed")}
        if other := pytorch.get(mix(row)):
            for way in ("both", "gathered"):
                joined[f"PyTorch {way} / routed"] = other[f"{way}, s"] / float(row["routed, s"])
        rows.append(joined)
    return rows


def write(session, device):
    head = {"device": device["name"], "detail": device["detail"], "date": time.strftime("%Y-%m-%d"),
            "commit": session.commit, "machine": platform.platform()}
    steps = [{"step": name, "result": d["result"], "seconds": d["seconds"], "detail": d["detail"]}
             for name, d in session.done.items()]
    tables = {name: rows for d in session.done.values() for name, rows in d["tables"].items()}
    compared, routed = first_tokens(tables), alternatives(tables)
    if compared:
        tables["First token against the modular model, Monolens and PyTorch, with the papers' figures"] = compared
    if routed:
        name = f"Routing against its alternatives (the papers' fused kernel: {shapes.FUSED} for the whole model)"
        tables[name] = routed
        tables["Break-even points of routing"] = benchmarks.break_even(routed)
    kind = "Rehearsal, on the CPU with a tiny model: says nothing about CUDA" if session.rehearse else "GPU check"
    found = {**head, "rehearsal": session.rehearse, "steps": steps, "tables": tables}
    (session.out / "report.json").write_text(json.dumps(found, indent=1))
    parts = [f"# {kind}: {head['device']}, {head['date']}, {head['commit']}\n", as_markdown([head]), "## Steps\n",
             as_markdown(steps)]
    for name, rows in tables.items():
        parts += [f"## {name}\n", as_markdown(rows)]
    (session.out / "report.md").write_text("\n".join(parts))
    plot.draw(session.out / "mmoe.svg", routed)
