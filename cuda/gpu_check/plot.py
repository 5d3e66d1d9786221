"""The picture of the routed FFN: how many times as long the alternatives take."""

# Colours of the alternatives; both orders of one have the same, interleaved is dashed.
COLOURS = ["#1b6ca8", "#c0392b", "#2c8a4b", "#8e44ad", "#b9770e"]
WIDE, HIGH, GAP, COLUMNS = 210, 190, 50, 4


def draw(path, rows):
    """A panel for each number of tokens, lines over the visual share, as SVG."""
    panels = sorted({row["tokens"] for row in rows})
    ratios = [key for key in dict.fromkeys(key for row in rows for key in row) if key.endswith("/ routed")]
    if not panels or not ratios:
        return
    most = max([2.0] + [float(row[key]) for row in rows for key in ratios if key in row])
    lines = -(-len(panels) // COLUMNS)
    width, height = GAP + min(len(panels), COLUMNS) * (WIDE + GAP), 40 + lines * (HIGH + 60) + 20 * len(ratios) + 20
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
           'font-size="11">', '<rect width="100%" height="100%" fill="white"/>',
           '<text x="10" y="16" font-size="13">Routed FFN: how many times as long the alternatives take '
           '(dashed: interleaved)</text>']
    for i, tokens in enumerate(panels):
        left, top = GAP + i % COLUMNS * (WIDE + GAP), 50 + i // COLUMNS * (HIGH + 60)
        out += panel(tokens, [row for row in rows if row["tokens"] == tokens], ratios, (left, top), most)
    for n, (colour, key) in enumerate(zip(COLOURS, ratios)):
        y = 50 + lines * (HIGH + 60) + 20 * n
        out.append(f'<rect x="{GAP}" y="{y - 9}" width="10" height="10" fill="{colour}"/><text x="{GAP + 16}" y="{y}">'
                   f'{key.removesuffix(" / routed")}</text>')
    path.write_text("\n".join([*out, "</svg>"]))


def panel(tokens, rows, ratios, corner, most):
    left, top = corner
    at = lambda share, ratio: (left + WIDE * share / 100, top + HIGH * (1 - ratio / most))
    out = [f'<text x="{left}" y="{top - 6}">{tokens} tokens</text>']
    for ratio in (0, 1, 2):
        y = at(0, ratio)[1]
        out.append(f'<line x1="{left}" x2="{left + WIDE}" y1="{y:.1f}" y2="{y:.1f}" '
                   f'stroke="{"#444" if ratio == 1 else "#ccc"}"/><text x="{left - 14}" y="{y + 4:.1f}">{ratio}</text>')
    for colour, key in zip(COLOURS, ratios):
        for order, dashes in (("runs", ""), ("interleaved", ' stroke-dasharray="4 3"')):
            points = sorted((float(row["visual"].rstrip(" %")), float(row[key])) for row in rows
                            if key in row and (row["order"] == order or row["visual"] in ("0 %", "100 %")))
            path_of = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
            out.append(f'<polyline points="{path_of}" fill="none" stroke="{colour}" stroke-width="1.5"{dashes}/>')
    out.append(f'<text x="{left}" y="{top + HIGH + 16}">0 %</text><text x="{left + WIDE - 60}" y="{top + HIGH + 16}">'
               '100 % visual</text>')
    return out
