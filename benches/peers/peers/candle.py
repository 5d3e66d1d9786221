"""candle on the CPU: blocks of a layer, in f32, f16 and with quantised weights. The crate beside this folder is built here."""

import json
import os
import subprocess
from pathlib import Path

from bench import ours
from bench.report import Row
from bench.sizes import BLOCKS, STEPS

CRATE = Path(__file__).resolve().parents[1] / "candle"
# Theirs, and which of our weights are held against it.
KINDS = (("f32", ("f32", "bf16")), ("f16", ("bf16",)), ("q8_0", ("8bit",)), ("q4_0", ("4bit",)))


def run(repeat: int) -> tuple[list[Row], str]:
    # As candle's own instructions say: its quantised products exist only for instructions known when it is built.
    build = ["cargo", "build", "--release", "--quiet", "--manifest-path", CRATE / "Cargo.toml"]
    subprocess.run(build, check=True, env=os.environ | {"RUSTFLAGS": "-C target-cpu=native"})
    binary = CRATE / "target" / "release" / "monolens-peer-candle"
    rows, mine = [], {}
    for kind, formats in KINDS:
        for weights in formats:
            if weights not in mine:
                mine[weights] = ours.blocks(weights, repeat=repeat)[0]
        command = [binary, ours.request(kind, repeat=repeat)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        theirs = ours.timings(json.loads(out))
        for weights in formats:
            for block in BLOCKS:
                for step in STEPS:
                    test = f"{block.replace('_', '-')}, {step.name}"
                    at = (block, step)
                    rows.append(Row(test, "candle", kind, theirs[at], weights, mine[weights][at]))
    lock = (CRATE / "Cargo.lock").read_text().split('name = "candle-core"\nversion = "')[1].split('"')[0]
    return rows, f"candle {lock}, rows routed by index_select. It has no product of bf16 on the CPU."
