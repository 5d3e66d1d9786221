"""The PyTorch model that benches/peers has, written as the official code is, at the papers' shapes on the same card."""

import sys
import time

from gpu_check import pytorch, shapes
from gpu_check.session import Skipped

# Seconds of this step; what is then left is left out, and that is said.
LIMIT = 150


def models(s):
    """The papers' shapes in PyTorch, written as the official code is."""
    device = "cpu" if s.rehearse else "cuda"
    pytorch.needed(device)
    import torch

    sys.path.insert(0, str(s.root / "benches/peers"))
    try:
        from peers.official import KINDS, Place
    except ImportError as error:
        raise Skipped(f"benches/peers is not beside this script: {error}") from None
    finally:
        sys.path.pop(0)
    place = Place(torch.bfloat16, device, flash=True)
    rows, end = [], time.monotonic() + min(LIMIT, s.left())
    with torch.inference_mode():
        for name, kind in KINDS.items():
            rows += measured(name, place, kind, s.rehearse, end)
            if device == "cuda":
                torch.cuda.empty_cache()
    missing = [row for row in rows if "first token, s" not in row]
    detail = f"PyTorch {torch.__version__}, scaled_dot_product_attention in the place of flash-attn"
    if missing:
        detail += f"; {len(missing)} of {len(rows)} shapes without a number"
    return {"First token and answers in PyTorch, the official way (bf16)": rows}, detail


def measured(name, place, kind, rehearse, end):
    """Every shape of one model; the shapes that time or memory did not suffice for have a note."""
    import torch
    from bench.sizes import Sizes
    from peers.official import Decoder, Eyes

    if rehearse:
        sizes = Sizes(hidden=64, inner=96, heads=4, kv_heads=2, head=16)
        decoder = Decoder(place, kind, sizes, layers=2, vocab=300)
        eyes = Eyes(place, kind, sizes.hidden, side=56, width=64)
        tiles, text, answer, concurrency, repeat = (1, 2), 5, 3, (1, 2), 1
    else:
        # All layers' weights by themselves: a GPU's cache could hold much of four.
        decoder, eyes = Decoder(place, kind, distinct=24), Eyes(place, kind)
        tiles, text, answer, concurrency, repeat = shapes.TILES, shapes.TEXT, shapes.ANSWER, shapes.CONCURRENCY, 3
    # Decoding is the same in all three: text experts alone.
    answers = name == "mono"
    rows = []
    for count in tiles:
        for batch in concurrency:
            visual = count * eyes.tokens
            row = {"model": name, "tiles": count, "visual + text": f"{visual} + {text}", "requests": batch}
            rows.append(row)
            if time.monotonic() > end:
                row["note"] = "no time left"
                continue
            read = lambda: decoder.prefill(visual + text, visual, batch, eyes.look(count * batch))
            try:
                row["first token, s"] = pytorch.median(read, repeat, place.device)
                if answers and time.monotonic() < end:
                    ids, past = read()
                    decoder.decode(2, ids, past)
                    seconds = pytorch.once(lambda: decoder.decode(answer, ids, past), place.device)
                    row["answers, token/s"] = batch * answer / seconds
                    ids = past = None
            except torch.cuda.OutOfMemoryError:
                row["note"] = "out of memory"
                ids = past = None
                torch.cuda.empty_cache()
    return rows
