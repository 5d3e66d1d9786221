"""onnxruntime on the CPU: blocks of a layer, in f32 and with weights in 8 and 4 bits."""

import os

import numpy as np
import onnxruntime

from bench import ours
from bench.onnx_layer import model
from bench.report import Row
from bench.sizes import BLOCKS, MODEL, STEPS, Sizes, Step
from bench.timing import Timing, measure

# Bits, our format, what to call theirs.
FORMATS = ((32, "f32", "f32"), (8, "8bit", "8 bit, groups of 128"), (4, "4bit", "4 bit, groups of 128"))


def _time(block: str, step: Step, sizes: Sizes, bits: int, repeat: int) -> Timing:
    total = step.depth + step.rows
    routed = step.visual > 0
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    file = model(block, sizes, routed, total, bits).SerializeToString()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    values = {"x": np.random.default_rng(2).standard_normal((1, step.rows, sizes.hidden), np.float32)}
    if routed and block != "attention":
        text, visual = (np.array(r, np.int64) for r in step.routes())
        values |= {"text_rows": text, "visual_rows": visual, "back": np.argsort(np.concatenate((text, visual)))}
    if block != "feed_forward":
        values |= {"last": np.array([total - 1], np.int32), "total": np.array(total, np.int32)}
    binding = session.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
    if block != "feed_forward":
        # Old and new cache are the same memory, so nothing is copied.
        for part in ("key", "value"):
            cache = np.zeros((1, sizes.kv_heads, total, sizes.head), np.float32)
            shared = onnxruntime.OrtValue.ortvalue_from_numpy(cache)
            binding.bind_ortvalue_input(f"past_{part}", shared)
            binding.bind_ortvalue_output(f"present_{part}", shared)
    binding.bind_output("y")
    return measure(lambda: session.run_with_iobinding(binding), repeat)


def run(repeat: int) -> tuple[list[Row], str]:
    mine = {format: ours.blocks(format, repeat=repeat)[0] for format in ("f32", "bf16", "8bit", "4bit")}
    rows = []
    for bits, format, name in FORMATS:
        for block in BLOCKS:
            for step in STEPS:
                theirs = _time(block, step, MODEL, bits, repeat)
                test = f"{block.replace('_', '-')}, {step.name}"
                rows.append(Row(test, "onnxruntime", name, theirs, format, mine[format][block, step]))
                if bits == 32:
                    rows.append(Row(test, "onnxruntime", name, theirs, "bf16", mine["bf16"][block, step]))
    return rows, f"onnxruntime {onnxruntime.__version__}. Its CPU part has no bf16, and computes f16 as f32."
