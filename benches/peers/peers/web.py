"""onnxruntime-web on WebGPU in Chromium, on the same adapter as Monolens' shaders in the same page: blocks of a layer of a
quarter of the model's widths. `cargo xtask blocks` has to have built Monolens' module."""

import subprocess
from pathlib import Path

import numpy as np

from bench import ours
from bench.onnx_layer import model
from bench.report import Row
from bench.site import open_page
from bench.sizes import BLOCKS, SMALL, SMALL_STEPS, Step
from bench.timing import Timing

HERE = Path(__file__).resolve().parents[1]
MODELS = HERE / ".state" / "web-models"
MODULE = ours.ROOT / "target" / "browser-blocks"
# Bits, our format, what to call theirs.
FORMATS = ((32, "f32", "f32"), (4, "4bit", "4 bit, groups of 128"))


def _inputs(block: str, step: Step) -> list[dict]:
    def whole(name: str, kind: str, values: list[int], dims: list[int] | None = None) -> dict:
        return {"name": name, "type": kind, "values": values, "dims": [len(values)] if dims is None else dims}

    total = step.depth + step.rows
    given = [{"name": "x", "type": "float32", "dims": [1, step.rows, SMALL.hidden]}]
    if step.visual and block != "attention":
        text, visual = step.routes()
        back = np.argsort(np.concatenate((text, visual))).tolist()
        given += [whole(n, "int64", v) for n, v in (("text_rows", text), ("visual_rows", visual), ("back", back))]
    if block != "feed_forward":
        cache = [1, SMALL.kv_heads, total, SMALL.head]
        given += [{"name": f"past_{n}", "type": "float32", "dims": cache} for n in ("key", "value")]
        given += [whole("last", "int32", [total - 1]), whole("total", "int32", [total], [])]
    return given


def run(repeat: int) -> tuple[list[Row], str]:
    if not MODULE.exists():
        raise SystemExit(f"{MODULE}: not there; `cargo xtask blocks` makes it")
    if not (HERE / "web" / "node_modules").exists():
        subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=HERE / "web", check=True)
    MODELS.mkdir(parents=True, exist_ok=True)
    ort = HERE / "web" / "node_modules" / "onnxruntime-web" / "dist"
    rows = []
    with open_page({"/": HERE / "web", "/ort/": ort, "/blocks/": MODULE, "/models/": MODELS}, "/page.html") as page:
        adapter = page.evaluate("adapter()")
        if adapter is None:
            raise SystemExit("the browser has no WebGPU adapter")
        version = ""
        for bits, format, name in FORMATS:
            request = ours.request(format, SMALL, SMALL_STEPS, repeat=repeat, backend="wgpu")
            mine = ours.timings(page.evaluate("request => ours(request)", request))
            for block in BLOCKS:
                for step in SMALL_STEPS:
                    file = MODELS / "block.onnx"
                    file.write_bytes(model(block, SMALL, step.visual > 0, step.depth + step.rows, bits).SerializeToString())
                    asked = {"url": "/models/block.onnx", "inputs": _inputs(block, step), "repeat": repeat}
                    got = page.evaluate("asked => peer(asked)", asked)
                    version = got["version"]
                    test = f"{block.replace('_', '-')}, {step.name}"
                    theirs = Timing(tuple(got["seconds"]))
                    rows.append(Row(test, "onnxruntime-web", name, theirs, format, mine[block, step]))
    sizes = f"hidden {SMALL.hidden}, inner {SMALL.inner}, {SMALL.heads} and {SMALL.kv_heads} heads of {SMALL.head}"
    return rows, f"onnxruntime-web {version}, WebGPU, adapter: {adapter}. A layer of {sizes}."
