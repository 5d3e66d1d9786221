//! RoPE with the KV write, attention over pages, attention inside tiles.

use super::DrawCase;
use crate::case::{Case, Draw, Paged};
use crate::compare::limit;
use monolens_graph::ops::{self, Heads, QkvLayout};
use monolens_graph::{Axis, DType, Expert, Routed, ValueId};

pub(super) const CASES: [(&str, DrawCase); 6] = [
    ("rope", rope),
    ("qkv_rope", qkv_rope),
    ("qkv_rope, routed", routed_qkv_rope),
    ("attention", attention),
    ("attention_map", attention_map),
    ("tile_attention", tile_attention),
];

pub(super) const LARGE: [(&str, DrawCase); 3] = [
    ("qkv_rope, many rows", many_qkv_rope),
    ("qkv_rope, routed, many rows", many_routed_qkv_rope),
    ("attention, far", far_attention),
];

/// Odd numbers of heads and odd halves of head sizes among them.
fn heads(d: &mut Draw) -> Heads {
    let kv = [1, 2, 3][d.number % 3];
    let group = [1, 2, 5, 4][d.number % 4];
    let size = [2, 6, 16, 22, 64, 80, 128][d.number % 7];
    Heads { query: kv * group, kv, size }
}

fn layout(d: &Draw) -> QkvLayout {
    if d.number.is_multiple_of(2) { QkvLayout::Grouped } else { QkvLayout::Concatenated }
}

/// Types of keys and values.
const KV: [DType; 5] = [DType::F32, DType::I8, DType::BF16, DType::F32, DType::I8];
/// Those that a fused projection writes.
const FUSED_KV: [DType; 4] = [DType::F32, DType::F32, DType::F32, DType::BF16];

fn finish(mut d: Draw, paged: &Paged, y: ValueId, limit: f64) -> Case {
    d.g.output("y", y).expect("one output");
    d.finish(if paged.kv == DType::BF16 { limit::BF16_STORED } else { limit })
}

fn rope(number: usize) -> Case {
    let mut d = Draw::new("rope", number);
    let heads = heads(&mut d);
    let p = d.paged(&heads, 67, &KV);
    let qkv = d.input("qkv", &[Axis::Rows.into(), heads.qkv_width().into()]);
    let op = ops::Rope { heads, layout: layout(&d) };
    let y = d.g.push("rope", op, &[qkv, p.rows, p.rope, p.k, p.v]).expect("a well-formed case");
    finish(d, &p, y, if p.kv == DType::I8 { limit::I8_STORED } else { limit::ELEMENTWISE })
}

/// Norm, projection (with experts or not), RoPE: what fuses into `qkv_rope`.
fn projected(operator: &str, number: usize, routed: bool, many: bool) -> Case {
    let mut d = Draw::new(operator, number);
    let heads = heads(&mut d);
    let p = if many { d.paged_many(&heads, &FUSED_KV) } else { d.paged(&heads, 130, &FUSED_KV) };
    let inner = d.inner(97);
    let x = d.input("x", &[Axis::Rows.into(), inner.into()]);
    let weight = d.weight("norm", &[inner]);
    let mut weights = vec![d.weight("wqkv", &[heads.qkv_width(), inner])];
    let mut inputs = vec![d.g.push("norm", ops::RmsNorm { weight, eps: 1e-5 }, &[x]).expect("a norm")];
    if routed {
        weights.push(d.weight("wqkv_ve", &[heads.qkv_width(), inner]));
        let visual = d.modalities(p.count);
        inputs.push(d.routing(&visual));
    }
    let bias = (number % 3 == 1 && !routed).then(|| d.weight("bias", &[heads.qkv_width()]));
    let experts =
        Routed { text: Expert::Weight(weights[0]), visual: weights.get(1).map(|&w| Expert::Weight(w)) };
    let op = ops::Linear::routed(experts, bias.map(Routed::shared));
    let qkv = d.g.push("wqkv", op, &inputs).expect("a projection");
    let op = ops::Rope { heads, layout: layout(&d) };
    let y = d.g.push("rope", op, &[qkv, p.rows, p.rope, p.k, p.v]).expect("a well-formed case");
    finish(d, &p, y, limit::MATMUL)
}

fn qkv_rope(number: usize) -> Case {
    projected("qkv_rope", number, false, false)
}

fn routed_qkv_rope(number: usize) -> Case {
    projected("routed qkv_rope", number, true, false)
}

fn many_qkv_rope(number: usize) -> Case {
    projected("many qkv_rope", number, false, true)
}

fn many_routed_qkv_rope(number: usize) -> Case {
    projected("many routed qkv_rope", number, true, true)
}

fn attention(number: usize) -> Case {
    let mut d = Draw::new("attention", number);
    let heads = heads(&mut d);
    let most = if number.is_multiple_of(2) { 130 } else { 3 };
    let p = d.paged(&heads, most, &KV);
    attend(d, heads, p)
}

/// A token each of sequences of which one is long: keys are split among blocks.
fn far_attention(number: usize) -> Case {
    let mut d = Draw::new("far attention", number);
    let heads = heads(&mut d);
    let p = d.paged_far(&heads, &KV);
    attend(d, heads, p)
}

fn attend(mut d: Draw, heads: Heads, p: Paged) -> Case {
    let q = d.input("q", &[Axis::Rows.into(), heads.query_width().into()]);
    let op = ops::Attention { heads, scale: (heads.size as f32).powf(-0.5) };
    let y =
        d.g.push("attention", op, &[q, p.rows, p.pages, p.query_blocks, p.k, p.v])
            .expect("a well-formed case");
    finish(d, &p, y, limit::MATMUL)
}

fn attention_map(number: usize) -> Case {
    let mut d = Draw::new("attention_map", number);
    let heads = heads(&mut d);
    let p = d.paged(&heads, 67, &KV);
    let q = d.input("q", &[Axis::Rows.into(), heads.query_width().into()]);
    let op = ops::AttentionMap { heads, scale: (heads.size as f32).powf(-0.5) };
    let y = d.g.push("attention_map", op, &[q, p.rows, p.pages, p.k]).expect("a well-formed case");
    finish(d, &p, y, limit::SOFTMAX)
}

fn tile_attention(number: usize) -> Case {
    let mut d = Draw::new("tile_attention", number);
    let tiles = d.rows(3);
    d.axis(Axis::Tiles, tiles);
    let heads = [1, 2, 3, 5][number % 4];
    let (n, width) = (d.size(97), heads * [2, 3, 8, 64][number % 4]);
    let x = d.input("x", &[Axis::Tiles.into(), n.into(), (3 * width).into()]);
    let op = ops::TileAttention { heads, scale: ((width / heads) as f32).powf(-0.5) };
    let y = d.g.push("tile_attention", op, &[x]).expect("a well-formed case");
    d.g.output("y", y).expect("one output");
    d.finish(limit::MATMUL)
}
