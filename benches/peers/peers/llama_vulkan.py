"""llama.cpp's Vulkan build (by cyllama's wheel) and Monolens' shaders on the same Vulkan device. Where that is Mesa's software
device a whole model would take minutes a token: so a model of one layer and a tiny vocabulary is held against a layer of ours."""

import os
from pathlib import Path

# It takes no software device unless it is told to.
os.environ.setdefault("GGML_VK_VISIBLE_DEVICES", "0")

from cyllama.llama import llama_cpp

from bench import gguf_model, ours
from bench.report import Row
from bench.sizes import Step
from bench.timing import measure

FILES = Path(__file__).resolve().parents[1] / ".state"
LAYERS, VOCAB = 1, 256
KINDS = (("f16", "bf16"), ("q8_0", "8bit"), ("q4_0", "4bit"))
PROMPT, DEPTH = Step(32), Step(1, 0, 32)


class Model:
    """A loaded file, all of it on the device."""

    def __init__(self, path: Path):
        options = llama_cpp.LlamaModelParams()
        options.n_gpu_layers = 99
        self.model = llama_cpp.LlamaModel(str(path), options, verbose=False)
        options = llama_cpp.LlamaContextParams()
        options.n_ctx, options.n_batch, options.n_ubatch = 512, 512, 512
        self.context = llama_cpp.LlamaContext(self.model, options, verbose=False)

    def decode(self, count: int, start: int) -> None:
        # Logits of all rows: it drops others before the last layer's feed-forward network, here the only one.
        batch = llama_cpp.LlamaBatch(n_tokens=count, embd=0, n_seq_max=1)
        batch.set_batch([i * 7 % VOCAB for i in range(count)], start, True)
        self.context.decode(batch)
        self.context.synchronize()

    def prompt(self) -> None:
        self.context.kv_cache_clear()
        self.decode(PROMPT.rows, 0)

    def token(self) -> None:
        self.context.memory_seq_rm(0, DEPTH.depth, -1)
        self.decode(1, DEPTH.depth)


def run(repeat: int) -> tuple[list[Row], str]:
    rows, device = [], ""
    llama_cpp.disable_logging()
    llama_cpp.ggml_backend_load_all()
    for kind, weights in KINDS:
        file = FILES / f"llama-{kind}-one-layer.gguf"
        gguf_model.write(file, kind, LAYERS, VOCAB)
        mine, device = ours.blocks(weights, steps=(PROMPT, DEPTH), blocks=("layer",), repeat=repeat, backend="wgpu")
        model = Model(file)
        for step, work in ((PROMPT, model.prompt), (DEPTH, model.token)):
            theirs = measure(work, repeat)
            rows.append(Row(f"layer, {step.name}", "llama.cpp, Vulkan", kind, theirs, weights, mine["layer", step]))
    return rows, f"On {device}. llama.cpp: a model of one layer with a vocabulary of 256."
