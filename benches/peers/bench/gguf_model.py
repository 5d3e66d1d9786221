"""A GGUF file of a language model of Monolens' decoder's shape, with random weights: the same values in every layer, each layer
with memory of its own, as only the time matters."""

from pathlib import Path

import gguf
import numpy as np

from .sizes import LAYERS, MODEL, VOCAB

TYPES = {
    "bf16": gguf.GGMLQuantizationType.BF16,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
    "q4_k": gguf.GGMLQuantizationType.Q4_K,
}
# As Monolens' 4-bit format has it, and llama.cpp's own files nearly: tables stay in 8 bits.
TABLE = {"q4_0": "q8_0", "q4_k": "q8_0"}


def _matrix(rng: np.random.Generator, kind: str, rows: int, columns: int) -> np.ndarray:
    """Bytes of a matrix of this kind, its values about as large as trained ones."""
    quant = TYPES[kind]
    size = np.float32(columns**-0.5)
    if kind in ("bf16", "f16"):
        values = rng.standard_normal((rows, columns), np.float32) * size
        return gguf.quants.quantize(values, quant)
    block, length = gguf.GGML_QUANT_SIZES[quant]
    packed = rng.integers(0, 256, (rows, columns // block, length), np.uint8)
    # Each block begins with its scale (Q4_K: two of them) in f16.
    factor = {"q8_0": 1 / 128, "q4_0": 1 / 8, "q4_k": 1 / 512}[kind]
    scale = np.array([size * factor], np.float16).view(np.uint8)
    packed[:, :, :2] = scale
    if kind == "q4_k":
        packed[:, :, 2:4] = scale
    return packed.reshape(rows, -1)


def write(path: Path, kind: str, layers: int = LAYERS, vocab: int = VOCAB) -> None:
    """Writes the file, if it is not there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "llama")
    writer.add_block_count(layers)
    writer.add_context_length(32768)
    writer.add_embedding_length(MODEL.hidden)
    writer.add_feed_forward_length(MODEL.inner)
    writer.add_head_count(MODEL.heads)
    writer.add_head_count_kv(MODEL.kv_heads)
    writer.add_rope_dimension_count(MODEL.head)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocab)
    writer.add_tokenizer_model("none")

    def matrix(name: str, rows: int, columns: int, of: str = kind) -> np.ndarray:
        return add(name, _matrix(rng, of, rows, columns), of)

    def add(name: str, values: np.ndarray, of: str) -> np.ndarray:
        writer.add_tensor(f"{name}.weight", values, raw_dtype=TYPES[of])
        return values

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(MODEL.hidden, np.float32))

    table = matrix("token_embd", vocab, MODEL.hidden, TABLE.get(kind, kind))
    add("output", table, TABLE.get(kind, kind))
    norm("output_norm")
    kv = MODEL.kv_heads * MODEL.head
    shapes = {
        "attn_q": (MODEL.hidden, MODEL.hidden),
        "attn_k": (kv, MODEL.hidden),
        "attn_v": (kv, MODEL.hidden),
        "attn_output": (MODEL.hidden, MODEL.hidden),
        "ffn_gate": (MODEL.inner, MODEL.hidden),
        "ffn_up": (MODEL.inner, MODEL.hidden),
        "ffn_down": (MODEL.hidden, MODEL.inner),
    }
    values = {name: _matrix(rng, kind, *shape) for name, shape in shapes.items()}
    for layer in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            norm(f"blk.{layer}.{name}")
        for name, matrix_values in values.items():
            add(f"blk.{layer}.{name}", matrix_values, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(path)
