"""What was found, as Markdown, JSON and pictures."""

import json
import platform
import time

# Colours of the lines of a plot.
COLOURS = ["#1b6ca8", "#c0392b", "#2c8a4b", "#8e44ad", "#b9770e"]


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
    """Seconds to the first token of the models beside each other, by tiles."""
    by_tiles = {}
    for model in ("mono-2b", "mono15-2b", "modular-2b"):
        for row in tables.get(f"Speed of {model}", []):
            if row["test"].startswith("ttft"):
                by_tiles.setdefault(row["test"].split(" (")[0], {})[model] = row["s"]
    rows = []
    for name, found in by_tiles.items():
        row = {"test": name} | {f"{model}, s": seconds for model, seconds in found.items()}
        for model in ("mono-2b", "mono15-2b"):
            if model in found and "modular-2b" in found:
                row[f"{model}: less"] = f"{100 * (1 - found[model] / found['modular-2b']):.0f} %"
        rows.append(row)
    return rows


def write(session, device):
    head = {"device": device["name"], "detail": device["detail"], "date": time.strftime("%Y-%m-%d"),
            "commit": session.commit, "machine": platform.platform()}
    steps = [{"step": name, "result": d["result"], "seconds": d["seconds"], "detail": d["detail"]}
             for name, d in session.done.items()]
    tables = {name: rows for d in session.done.values() for name, rows in d["tables"].items()}
    if compared := first_tokens(tables):
        tables["First token against the modular model"] = compared
    kind = "Rehearsal, on the CPU with a tiny model: says nothing about CUDA" if session.rehearse else "GPU check"
    found = {**head, "rehearsal": session.rehearse, "steps": steps, "tables": tables}
    (session.out / "report.json").write_text(json.dumps(found, indent=1))
    parts = [f"# {kind}: {head['device']}, {head['date']}, {head['commit']}\n", as_markdown([head]), "## Steps\n",
             as_markdown(steps)]
    for name, rows in tables.items():
        parts += [f"## {name}\n", as_markdown(rows)]
    (session.out / "report.md").write_text("\n".join(parts))
    plot(session.out / "mmoe.svg", tables.get("Routed FFN of one layer, Monolens", []))


def plot(path, rows):
    """How many times as long the alternatives take as the routed kernel, by visual share, as SVG; a panel for each
    number of tokens."""
    panels = sorted({row["tokens"] for row in rows})
    ratios = [key for key in (rows[0] if rows else {}) if key.endswith("/ routed")]
    if not panels or not ratios:
        return
    wide, high, gap = 210, 190, 50
    most = max([2.0] + [float(row[key]) for row in rows for key in ratios])
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{gap + len(panels) * (wide + gap)}" height="{high + 110}" '
           'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>',
           '<text x="10" y="16" font-size="13">Routed FFN: how many times as long the alternatives take</text>']
    for i, tokens in enumerate(panels):
        left, top = gap + i * (wide + gap), 40
        at = lambda share, ratio: (left + wide * share / 100, top + high * (1 - ratio / most))
        out.append(f'<text x="{left}" y="{top - 6}">{tokens} tokens</text>')
        for ratio in (0, 1, 2):
            y = at(0, ratio)[1]
            out.append(f'<line x1="{left}" x2="{left + wide}" y1="{y:.1f}" y2="{y:.1f}" '
                       f'stroke="{"#444" if ratio == 1 else "#ccc"}"/><text x="{left - 14}" y="{y + 4:.1f}">{ratio}</text>')
        lines = [(key, order) for key in ratios for order in ("runs", "interleaved")]
        for colour, (key, order) in zip(COLOURS, lines):
            points = sorted((float(row["visual"].rstrip(" %")), float(row[key])) for row in rows
                            if row["tokens"] == tokens and (row["order"] == order or row["visual"] in ("0 %", "100 %")))
            path_of = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
            out.append(f'<polyline points="{path_of}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        out.append(f'<text x="{left}" y="{top + high + 16}">0 %</text><text x="{left + wide - 60}" y="{top + high + 16}">'
                   '100 % visual</text>')
    for n, (colour, (key, order)) in enumerate(zip(COLOURS, [(k, o) for k in ratios for o in ("runs", "interleaved")])):
        x, y = gap + n % 2 * 260, high + 74 + n // 2 * 16
        out.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/><text x="{x + 16}" y="{y}">'
                   f'{key.removesuffix(" / routed")}, {order}</text>')
    path.write_text("\n".join(out + ["</svg>"]))
