"""llama.cpp on the CPU, built here for this CPU: a language model of the same shape, prompts (pp) and answers (tg)."""

import ctypes
import os
import random
import subprocess
import sys
from pathlib import Path

import llama_cpp

from bench import gguf_model, ours
from bench.report import Row
from bench.sizes import QUICK, VOCAB, Step
from bench.timing import Timing, measure

FILES = Path(__file__).resolve().parents[1] / ".state"
LITTLE = 256
PROMPT, ANSWER, DEPTH = (256, 16, 0) if QUICK else (512, 32, 1024)


class Model:
    """A loaded file and its context."""

    def __init__(self, path: Path, vocab: int = VOCAB, every_row: bool = False):
        self.vocab, self.every_row = vocab, every_row
        quiet = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(quiet, ctypes.c_void_p())
        self._quiet = quiet
        options = llama_cpp.llama_model_default_params()
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not self.model:
            raise SystemExit(f"llama.cpp does not load {path}")
        options = llama_cpp.llama_context_default_params()
        options.n_ctx = max(DEPTH + PROMPT + ANSWER, 512)
        options.n_batch, options.n_ubatch = 2048, 512
        options.n_threads = options.n_threads_batch = os.cpu_count() or 1
        self.context = llama_cpp.llama_init_from_model(self.model, options)

    def decode(self, count: int) -> None:
        """Random ids behind what is there; logits of the last, or of all if each row is to pass the last layer whole."""
        ids = (ctypes.c_int32 * count)(*(random.randrange(self.vocab) for _ in range(count)))
        batch = llama_cpp.llama_batch_get_one(ids, count)
        if self.every_row:
            wanted = (ctypes.c_int8 * count)(*([1] * count))
            batch.logits = ctypes.cast(wanted, ctypes.POINTER(ctypes.c_int8))
        if llama_cpp.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama.cpp: llama_decode failed")
        llama_cpp.llama_synchronize(self.context)

    def clear(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def prompt(self, rows: int, repeat: int) -> Timing:
        def work() -> None:
            self.clear()
            self.decode(rows)

        return measure(work, repeat)

    def answer(self, tokens: int, depth: int, repeat: int) -> Timing:
        """Seconds a token."""
        self.clear()
        if depth:
            self.decode(depth)
        memory = llama_cpp.llama_get_memory(self.context)

        def work() -> None:
            llama_cpp.llama_memory_seq_rm(memory, 0, max(depth, 1), -1)
            for _ in range(tokens):
                self.decode(1)

        if depth == 0:
            self.decode(1)
        return measure(work, repeat).scaled(1 / tokens)

    def close(self) -> None:
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.model)


def run_layer(repeat: int) -> tuple[list[Row], str]:
    """A layer alone: a model of one layer with a tiny vocabulary, in seconds where the whole takes minutes."""
    rows, steps = [], (Step(310), Step(1, 0, 310))
    for weights, kinds in (("bf16", ("bf16", "f16")), ("8bit", ("q8_0",)), ("4bit", ("q4_0", "q4_k"))):
        mine, _ = ours.blocks(weights, steps=steps, blocks=("layer",), repeat=repeat)
        for kind in kinds:
            file = FILES / f"llama-{kind}-one-layer.gguf"
            gguf_model.write(file, kind, layers=1, vocab=LITTLE)
            # It drops rows without logits before the last layer's feed-forward network, here the only one.
            model = Model(file, LITTLE, every_row=True)
            theirs = (model.prompt(310, repeat), model.answer(1, 310, repeat))
            model.close()
            rows += [
                Row(f"layer, {step.name}", "llama.cpp", kind, timing, weights, mine["layer", step])
                for step, timing in zip(steps, theirs, strict=True)
            ]
    return rows, f"llama.cpp by llama-cpp-python {llama_cpp.__version__}: a model of one layer with a vocabulary of {LITTLE}."


def run_halves(repeat: int) -> tuple[list[Row], str]:
    return _run(repeat, "bf16", "bf16", "f16")


def run_eight(repeat: int) -> tuple[list[Row], str]:
    return _run(repeat, "8bit", "q8_0")


def run_four(repeat: int) -> tuple[list[Row], str]:
    return _run(repeat, "4bit", "q4_0", "q4_k")


def _run(repeat: int, weights: str, *kinds: str) -> tuple[list[Row], str]:
    """Our model with these weights against files of these kinds."""
    for kind in kinds:
        gguf_model.write(_file(kind), kind)
    asked = () if weights == "bf16" else (f"--weights={weights}",)
    mine = ours.bench(f"--pp={PROMPT}", f"--tg={ANSWER}", *asked, repeat=repeat)
    if DEPTH:
        mine |= ours.bench("--pp=0", f"--tg={ANSWER}", f"--depth={DEPTH}", *asked, repeat=repeat)
    rows = []
    for kind in kinds:
        model = Model(_file(kind))
        theirs = {f"pp {PROMPT}": model.prompt(PROMPT, repeat)}
        theirs[f"tg {ANSWER}"] = model.answer(ANSWER, 0, repeat)
        if DEPTH:
            theirs[f"tg {ANSWER} @ {DEPTH}"] = model.answer(ANSWER, DEPTH, repeat)
        model.close()
        rows += [Row(test, "llama.cpp", kind, timing, weights, mine[test]) for test, timing in theirs.items()]
    version = llama_cpp.__version__
    return rows, f"llama.cpp by llama-cpp-python {version}, built with its own defaults for this CPU. tg: seconds a token."


def run_turns(repeat: int) -> tuple[list[Row], str]:
    """Answers by turns, each in a process of its own: where a process' memory lies decides how fast it is read, and a single
    process has one draw."""
    rows = []
    for weights, kinds in (("bf16", ("bf16",)), ("8bit", ("q8_0",)), ("4bit", ("q4_0", "q4_k"))):
        asked = () if weights == "bf16" else (f"--weights={weights}",)
        mine, theirs = [], {kind: [] for kind in kinds}
        for _ in range(repeat):
            mine.append(ours.bench("--pp=0", f"--tg={ANSWER}", *asked, repeat=1)[f"tg {ANSWER}"].median)
            for kind in kinds:
                gguf_model.write(_file(kind), kind)
                command = [sys.executable, "-m", "peers.llama", kind]
                out = subprocess.run(command, cwd=FILES.parent, check=True, capture_output=True, text=True).stdout
                theirs[kind].append(float(out))
        test = f"tg {ANSWER}, {repeat} processes by turns"
        rows += [Row(test, "llama.cpp", kind, Timing(tuple(theirs[kind])), weights, Timing(tuple(mine))) for kind in kinds]
    return rows, f"llama.cpp by llama-cpp-python {llama_cpp.__version__}. Seconds a token, the median of processes."


def _file(kind: str) -> Path:
    return FILES / f"llama-{kind}.gguf"


if __name__ == "__main__":
    only = Model(_file(sys.argv[1]))
    print(only.answer(ANSWER, 0, 1).median)
    only.close()
