"""Times other engines and Monolens at the same work, in the same run on the same machine. See README.md."""

import argparse
import os
import subprocess
import sys
import venv
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
# What each part compares, each a file in peers/ (or a function of one); a part takes a few minutes.
PARTS = {
    "torch_blocks": "PyTorch: blocks of a layer",
    "torch_model": "PyTorch, written as the official code: 24 layers",
    "torch_model.run_long": "the same with a longer prompt",
    "onnx": "onnxruntime: blocks of a layer",
    "llama.run_layer": "llama.cpp on the CPU: a layer",
    "llama.run_halves": "llama.cpp on the CPU: a language model of the same shape, weights of 16 bits",
    "llama.run_eight": "the same with weights of 8 bits",
    "llama.run_four": "the same with weights of 4 bits",
    "llama.run_turns": "llama.cpp on the CPU: answers, a process of each by turns",
    "llama_vulkan": "llama.cpp and Monolens on a Vulkan device (software, if that is all there is)",
    "candle": "candle: blocks of a layer",
    "web": "onnxruntime-web (WebGPU) in Chromium: blocks of a smaller layer",
}


def install() -> None:
    """Makes the environment that the requirements name, if it is not there."""
    wanted = (HERE / "requirements.txt").read_text()
    done = VENV / "installed.txt"
    if done.exists() and done.read_text() == wanted:
        return
    if not PYTHON.exists():
        venv.create(VENV, with_pip=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
    done.write_text(wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    shown = "; ".join(f"{name} ({what})" for name, what in PARTS.items())
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=shown)
    parser.add_argument("--repeat", type=int, default=5, help="measurements of each, after one that does not count")
    parser.add_argument("--quick", action="store_true", help="short prompts and contexts only: half the time")
    parser.add_argument("--out", type=Path, default=HERE / ".state" / "results", help="folder for tables and JSON")
    options = parser.parse_args()
    if options.repeat < 1:
        parser.error("--repeat: expected at least 1")
    if options.quick:
        os.environ["MONOLENS_PEERS_QUICK"] = "1"
    if Path(sys.prefix) != VENV:
        install()
        os.execv(PYTHON, [str(PYTHON), *sys.argv])
    if len(options.only) > 1:
        # Each part in a process of its own, so that none finds the memory of another.
        for part in options.only:
            command = [sys.executable, __file__, "--only", part, "--repeat", str(options.repeat)]
            subprocess.run([*command, "--out", options.out], check=True)
        return
    from bench import plot, report

    part = options.only[0]
    print(f"## {PARTS[part]}\n")
    module, _, function = part.partition(".")
    rows, notes = getattr(import_module(f"peers.{module}"), function or "run")(options.repeat)
    report.save(options.out / f"{module}-{function}".rstrip("-"), rows, notes)
    plot.draw(sorted(options.out.glob("*.json")), options.out / "peers.svg")


if __name__ == "__main__":
    main()
