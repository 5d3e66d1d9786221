"""The blocks as ONNX models, with the operators that onnxruntime has for language models: SimplifiedLayerNormalization,
GroupQueryAttention with its rotation and cache, MatMulNBits for rounded weights."""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .sizes import Sizes

CONTRIB = "com.microsoft"
GROUP = 128


@dataclass
class _Builder:
    sizes: Sizes
    bits: int  # 32: floats; 8 or 4: MatMulNBits
    nodes: list = field(default_factory=list)
    tensors: list = field(default_factory=list)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def constant(self, name: str, value: np.ndarray) -> str:
        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op: str, inputs: list[str], output: str, domain: str = "", **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def norm(self, x: str, name: str) -> str:
        weight = self.constant(f"{name}.weight", np.ones(self.sizes.hidden, np.float32))
        return self.node("SimplifiedLayerNormalization", [x, weight], name, epsilon=1e-5, axis=-1)

    def linear(self, x: str, name: str, out: int, inner: int) -> str:
        if self.bits == 32:
            values = self.random.standard_normal((inner, out), np.float32) * np.float32(inner**-0.5)
            return self.node("MatMul", [x, self.constant(f"{name}.weight", values)], name)
        groups = inner // GROUP
        shape = (out, groups, GROUP * self.bits // 8)
        packed = self.constant(f"{name}.packed", self.random.integers(0, 256, shape, np.uint8))
        scale = np.full((out * groups,), inner**-0.5 / 2 ** (self.bits - 2), np.float32)
        scales = self.constant(f"{name}.scales", scale)
        # Accuracy level 4: products of integers, the fastest that there is.
        options = {"K": inner, "N": out, "bits": self.bits, "block_size": GROUP, "accuracy_level": 4}
        return self.node("MatMulNBits", [x, packed, scales], name, CONTRIB, **options)

    def expert(self, z: str, name: str) -> str:
        s = self.sizes
        gate = self.linear(z, f"{name}.w1", s.inner, s.hidden)
        up = self.linear(z, f"{name}.w3", s.inner, s.hidden)
        gated = self.node("Mul", [gate, self.node("Sigmoid", [gate], f"{name}.sigmoid")], f"{name}.silu")
        return self.linear(self.node("Mul", [gated, up], f"{name}.h"), f"{name}.w2", s.hidden, s.inner)

    def feed_forward(self, x: str, routed: bool) -> str:
        z = self.norm(x, "ffn_norm")
        if not routed:
            return self.node("Add", [x, self.expert(z, "text")], "ffn_out")
        parts = [self.expert(self.node("Gather", [z, f"{kind}_rows"], f"{kind}_z", axis=1), kind) for kind in ("text", "visual")]
        joined = self.node("Concat", parts, "joined", axis=1)
        back = self.node("Gather", [joined, "back"], "routed", axis=1)
        return self.node("Add", [x, back], "ffn_out")

    def attention(self, x: str, positions: int) -> str:
        s = self.sizes
        qkv = self.linear(self.norm(x, "attention_norm"), "qkv", s.qkv, s.hidden)
        frequencies = 1e6 ** (-np.arange(0, s.head, 2) / s.head)
        angles = np.outer(np.arange(positions), frequencies)
        cos = self.constant("cos", np.cos(angles).astype(np.float32))
        sin = self.constant("sin", np.sin(angles).astype(np.float32))
        inputs = [qkv, "", "", "past_key", "past_value", "last", "total", cos, sin]
        options = {"num_heads": s.heads, "kv_num_heads": s.kv_heads, "do_rotary": 1}
        outputs = ["attention", "present_key", "present_value"]
        node = helper.make_node("GroupQueryAttention", inputs, outputs, name="attention", domain=CONTRIB, **options)
        self.nodes.append(node)
        return self.node("Add", [x, self.linear("attention", "o", s.hidden, s.heads * s.head)], "attention_out")


def model(block: str, sizes: Sizes, routed: bool, positions: int, bits: int = 32) -> onnx.ModelProto:
    """A block from `x` (1, rows, hidden) to `y`; with attention, caches with room for `positions` tokens."""
    b = _Builder(sizes, bits)
    floats, whole = TensorProto.FLOAT, TensorProto.INT64
    rows = [1, "rows", sizes.hidden]
    inputs = [helper.make_tensor_value_info("x", floats, rows)]
    outputs = [helper.make_tensor_value_info("y", floats, rows)]
    y = "x"
    if block != "feed_forward":
        y = b.attention(y, positions)
        cache = [1, sizes.kv_heads, positions, sizes.head]
        inputs += [helper.make_tensor_value_info(f"past_{n}", floats, cache) for n in ("key", "value")]
        outputs += [helper.make_tensor_value_info(f"present_{n}", floats, cache) for n in ("key", "value")]
        inputs += [helper.make_tensor_value_info("last", TensorProto.INT32, [1])]
        inputs += [helper.make_tensor_value_info("total", TensorProto.INT32, [])]
    if block != "attention":
        y = b.feed_forward(y, routed)
        if routed:
            names = ("text_rows", "visual_rows", "back")
            inputs += [helper.make_tensor_value_info(n, whole, [f"{n}_count"]) for n in names]
    b.node("Identity", [y], "y")
    graph = helper.make_graph(b.nodes, block, inputs, outputs, b.tensors)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid(CONTRIB, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)
