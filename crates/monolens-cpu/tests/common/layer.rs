//! A small decoder with routed experts, and sequences to run through it.

use super::*;
use monolens_graph::batch::{self, Batch, Chunk, NO_VISUAL, PAGE_SIZE, SamplingRow};
use monolens_graph::ops::{self, Heads, QkvLayout};
use monolens_graph::{Expert, GraphBuilder, GraphError, Routed};

pub const HEADS: Heads = Heads { query: 4, kv: 2, size: 10 };
pub const D: usize = 37;
pub const FFN: usize = 53;
pub const VOCAB: usize = 101;
pub const VISUAL_SLOTS: usize = 200;
pub const KV_SLOTS: usize = 40 * PAGE_SIZE;

/// Embedding, two layers, final norm, logits and sampling; attention experts too with `attention_experts`.
pub fn decoder(kv: DType, attention_experts: bool) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("decoder");
    let rows_axis = Axis::Rows.into();
    let rows = g.input(batch::ROWS, DType::U32, [rows_axis, 4.into()]);
    let visual_rows = g.input(batch::VISUAL_ROWS, DType::U32, [rows_axis]);
    let visual = g.state(batch::VISUAL, DType::F32, [Axis::VisualSlots.into(), D.into()]);
    let rope = g.input(batch::ROPE, DType::F32, [rows_axis, HEADS.size.into()]);
    let pages =
        g.input(batch::PAGE_TABLE, DType::U32, [Axis::Sequences.into(), Axis::PagesPerSequence.into()]);
    let blocks = g.input(batch::QUERY_BLOCKS, DType::U32, [Axis::QueryBlocks.into(), 2.into()]);
    let routing =
        g.input(batch::ROUTING, DType::U32, [Axis::RouteBlocks.into(), (1 + batch::ROUTE_BLOCK).into()]);
    let pool = [Axis::KvSlots.into(), HEADS.kv_width().into()];
    let table = g.weight("embeddings", [VOCAB, D]);
    let mut x = g.push("embed", ops::Embed { table }, &[rows, visual_rows, visual])?;
    for i in 0..2 {
        let (k, v) = (g.state(&batch::key_state(i), kv, pool), g.state(&batch::value_state(i), kv, pool));
        let norm_1 = g.weight(format!("{i}.attention_norm"), [D]);
        let norm_2 = g.weight(format!("{i}.ffn_norm"), [D]);
        let mut experts = |name: &str, out, inner, split: bool| {
            let text = Expert::Weight(g.weight(format!("{i}.{name}"), [out, inner]));
            if !split {
                return Routed::shared(text);
            }
            Routed::split(text, Expert::Weight(g.weight(format!("{i}.{name}_ve"), [out, inner])))
        };
        let wqkv = experts("wqkv", HEADS.qkv_width(), D, attention_experts);
        let wo = experts("wo", D, HEADS.query_width(), attention_experts);
        let (w1, w3) = (experts("w1", FFN, D, true), experts("w3", FFN, D, true));
        let w2 = experts("w2", D, FFN, true);
        let routed = |id| if attention_experts { vec![id, routing] } else { vec![id] };
        let y = g.push(format!("{i}.norm_1"), ops::RmsNorm { weight: norm_1, eps: 1e-5 }, &[x])?;
        let qkv = g.push(format!("{i}.qkv"), ops::Linear::routed(wqkv, None), &routed(y))?;
        let turn = ops::Rope { heads: HEADS, layout: QkvLayout::Grouped };
        let q = g.push(format!("{i}.rope"), turn, &[qkv, rows, rope, k, v])?;
        let attention = ops::Attention { heads: HEADS, scale: 0.3 };
        let a = g.push(format!("{i}.attention"), attention, &[q, rows, pages, blocks, k, v])?;
        let o = g.push(format!("{i}.o"), ops::Linear::routed(wo, None), &routed(a))?;
        let x_1 = g.push(format!("{i}.add_1"), ops::Add, &[x, o])?;
        let z = g.push(format!("{i}.norm_2"), ops::RmsNorm { weight: norm_2, eps: 1e-5 }, &[x_1])?;
        let gate = g.push(format!("{i}.gate"), ops::Linear::routed(w1, None), &[z, routing])?;
        let up = g.push(format!("{i}.up"), ops::Linear::routed(w3, None), &[z, routing])?;
        let h = g.push(format!("{i}.swiglu"), ops::SwiGlu, &[gate, up])?;
        let down = g.push(format!("{i}.down"), ops::Linear::routed(w2, None), &[h, routing])?;
        x = g.push(format!("{i}.add_2"), ops::Add, &[x_1, down])?;
    }
    g.output("hidden", x)?;
    let sample_rows = g.input(batch::SAMPLE_ROWS, DType::U32, [Axis::Samples.into()]);
    let sampling = g.input(batch::SAMPLING, DType::U32, [Axis::Samples.into(), 8.into()]);
    let seen = g.input(batch::SEEN, DType::U32, [Axis::Samples.into(), VOCAB.div_ceil(32).into()]);
    let last = g.push("last", ops::GatherRows, &[x, sample_rows])?;
    let weight = g.weight("norm", [D]);
    let y = g.push("norm", ops::RmsNorm { weight, eps: 1e-5 }, &[last])?;
    let output = g.weight("output", [VOCAB, D]);
    let logits = g.push("logits", ops::Linear::shared(output, None), &[y])?;
    let ids = g.push("sample", ops::Sample, &[logits, sampling, seen])?;
    g.output(batch::LOGITS, logits)?;
    g.output(batch::NEXT_IDS, ids)?;
    Ok(g.finish())
}

/// The rotation of positions `start..start + n`.
pub fn rope(start: usize, n: usize) -> Vec<f32> {
    let half = HEADS.size / 2;
    let mut angles = Vec::new();
    for position in start..start + n {
        let angle = |e: usize| position as f32 / 10_000_f32.powf(2.0 * e as f32 / HEADS.size as f32);
        angles.extend((0..half).map(|e| angle(e).cos()));
        angles.extend((0..half).map(|e| angle(e).sin()));
    }
    angles
}

/// A sequence with its visual mask and pages.
#[derive(Clone)]
pub struct Sequence {
    pub ids: Vec<u32>,
    pub visual: Vec<u32>,
    pub pages: Vec<u32>,
}

impl Sequence {
    pub fn new(visual: &[bool], pages: &[u32], seed: u64) -> Self {
        let mut rng = rng(seed);
        let slots = visual.iter().enumerate().map(|(i, &v)| if v { i as u32 % 200 } else { NO_VISUAL });
        Self {
            ids: visual.iter().map(|_| rng.random_range(0..VOCAB as u32)).collect(),
            visual: slots.collect(),
            pages: pages.to_vec(),
        }
    }
}

/// Parts of sequences: `(sequence, first row, end)`.
pub fn pack(parts: &[(&Sequence, usize, usize)]) -> Batch {
    let ropes: Vec<Vec<f32>> = parts.iter().map(|&(_, from, to)| rope(from, to - from)).collect();
    let chunks: Vec<Chunk<'_>> = parts
        .iter()
        .zip(&ropes)
        .map(|(&(s, from, to), rope)| Chunk {
            ids: &s.ids[from..to],
            visual: &s.visual[from..to],
            start: from,
            pages: &s.pages,
            rope,
            sample: Some(SamplingRow::GREEDY),
            sample_every_row: true,
            ..Chunk::default()
        })
        .collect();
    Batch::pack(&chunks, VOCAB)
}

/// A backend with this decoder's weights and states.
pub fn loaded(mut backend: CpuBackend, graph: &Graph, dtype: DType) -> CpuBackend {
    load_random(&mut backend, graph, dtype, 7);
    let axes = Axes::new().with(Axis::KvSlots, KV_SLOTS).with(Axis::VisualSlots, VISUAL_SLOTS);
    allocate(&mut backend, graph, &axes);
    let visual = floats(&mut rng(99), VISUAL_SLOTS * D);
    backend.write_state(batch::VISUAL, bytemuck::cast_slice(&visual)).unwrap();
    backend
}

/// Runs a batch and gives hidden rows, logits and ids.
pub fn forward(backend: &mut CpuBackend, graph: &Graph, fusions: Fusions, batch: &Batch) -> Outputs {
    let mut job = batch.job(KV_SLOTS, VISUAL_SLOTS);
    job.read("hidden").read(batch::LOGITS).read(batch::NEXT_IDS);
    run(backend, graph, fusions, &job)
}
