//! Weights above the binding limit are split by rows and give the same; states above it are refused.

mod common;

use common::{load_random, nmse, open, prepare, random, run};
use monolens_graph::batch::{self, Batch, Chunk, NO_VISUAL, PAGE_SIZE, SamplingRow};
use monolens_graph::ops::{self, Heads, QkvLayout};
use monolens_graph::{Axes, Axis, Backend, BackendError, DType, Graph, GraphBuilder};
use monolens_wgpu::WgpuOptions;

const D: usize = 36;
const F: usize = 100;
const VOCAB: usize = 300;
const HEADS: Heads = Heads { query: 4, kv: 2, size: 12 };

/// Embedding, a layer and the output projection, with keys and values of a type.
fn model(kv: DType) -> Graph {
    let mut g = GraphBuilder::new("model");
    let rows = g.input(batch::ROWS, DType::U32, [Axis::Rows.into(), 4.into()]);
    let rope = g.input(batch::ROPE, DType::F32, [Axis::Rows.into(), HEADS.size.into()]);
    let pages = [Axis::Sequences.into(), Axis::PagesPerSequence.into()];
    let pages = g.input(batch::PAGE_TABLE, DType::U32, pages);
    let blocks = g.input(batch::QUERY_BLOCKS, DType::U32, [Axis::QueryBlocks.into(), 2.into()]);
    let pool = [Axis::KvSlots.into(), HEADS.cache_width(kv).into()];
    let (k, v) = (g.state("k", kv, pool), g.state("v", kv, pool));
    let table = g.weight("table", [VOCAB, D]);
    let (norm_1, norm_2) = (g.weight("norm_1", [D]), g.weight("norm_2", [D]));
    let wqkv = g.weight("wqkv", [HEADS.qkv_width(), D]);
    let wo = g.weight("wo", [D, HEADS.query_width()]);
    let (w1, w3, w2) = (g.weight("w1", [F, D]), g.weight("w3", [F, D]), g.weight("w2", [D, F]));
    let output = g.weight("output", [VOCAB, D]);
    let x = g.push("embed", ops::Embed { table }, &[rows]).unwrap();
    let y = g.push("norm_1", ops::RmsNorm { weight: norm_1, eps: 1e-5 }, &[x]).unwrap();
    let qkv = g.push("wqkv", ops::Linear::shared(wqkv, None), &[y]).unwrap();
    let rope_op = ops::Rope { heads: HEADS, layout: QkvLayout::Grouped };
    let q = g.push("rope", rope_op, &[qkv, rows, rope, k, v]).unwrap();
    let attention = ops::Attention { heads: HEADS, scale: 0.3 };
    let a = g.push("attention", attention, &[q, rows, pages, blocks, k, v]).unwrap();
    let o = g.push("wo", ops::Linear::shared(wo, None), &[a]).unwrap();
    let x = g.push("add_1", ops::Add, &[x, o]).unwrap();
    let z = g.push("norm_2", ops::RmsNorm { weight: norm_2, eps: 1e-5 }, &[x]).unwrap();
    let gate = g.push("w1", ops::Linear::shared(w1, None), &[z]).unwrap();
    let up = g.push("w3", ops::Linear::shared(w3, None), &[z]).unwrap();
    let h = g.push("swiglu", ops::SwiGlu, &[gate, up]).unwrap();
    let down = g.push("w2", ops::Linear::shared(w2, None), &[h]).unwrap();
    let x = g.push("add_2", ops::Add, &[x, down]).unwrap();
    let logits = g.push("output", ops::Linear::shared(output, None), &[x]).unwrap();
    g.output("logits", logits).unwrap();
    g.finish()
}

/// Logits of a prompt of `n` tokens and of one token after it, and the operators of the latter's dispatches.
fn logits(max_binding: Option<u64>, n: usize) -> Option<(Vec<f32>, Vec<f32>, Vec<&'static str>)> {
    logits_with(max_binding, n, DType::F32)
}

/// The same with keys and values of a type.
fn logits_with(
    max_binding: Option<u64>,
    n: usize,
    kv: DType,
) -> Option<(Vec<f32>, Vec<f32>, Vec<&'static str>)> {
    let mut backend = open(WgpuOptions { max_binding, ..WgpuOptions::default() })?;
    let graph = model(kv);
    load_random(&mut backend, &graph);
    let page_count = (n + 1).div_ceil(PAGE_SIZE);
    let slots = page_count * PAGE_SIZE;
    for name in ["k", "v"] {
        backend.allocate_state(name, kv, slots, HEADS.cache_width(kv)).unwrap();
    }
    let ids: Vec<u32> = (0..=n as u32).map(|i| (i * 37) % VOCAB as u32).collect();
    let pages: Vec<u32> = (0..page_count as u32).rev().collect();
    let rope = random((n + 1) * HEADS.size, 5);
    let none = vec![NO_VISUAL; n + 1];
    let chunk = |from: usize, to: usize| Chunk {
        ids: &ids[from..to],
        visual: &none[from..to],
        start: from,
        pages: &pages,
        rope: &rope[from * HEADS.size..to * HEADS.size],
        sample: Some(SamplingRow::GREEDY),
        ..Chunk::default()
    };
    let prompt = Batch::pack(&[chunk(0, n)], VOCAB);
    let next = Batch::pack(&[chunk(n, n + 1)], VOCAB);
    let limits = prompt.axes(slots, 0).with(Axis::Context, slots);
    let program = prepare(&mut backend, &graph, limits);
    let mut results = Vec::new();
    for batch in [&prompt, &next] {
        let mut job = batch.job(slots, 0);
        job.read("logits");
        let outputs = pollster::block_on(backend.run(program, &job)).unwrap();
        results.push(outputs["logits"].f32s());
    }
    let dispatches = backend.dispatches(program, &next.axes(slots, 0));
    let second = results.pop()?;
    Some((results.pop()?, second, dispatches))
}

#[test]
fn split_weights_give_the_same_logits() {
    let Some((prompt, next, whole)) = logits(None, 30) else { return };
    let layer = ["qkv_rope", "attention", "linear", "gate_up", "linear"];
    assert_eq!(whole, [&["embed"][..], &layer, &["linear"]].concat(), "one token, one layer");
    // 7,000 bytes hold 43 rows of the table, of the projections and of the states.
    let Some((split_prompt, split_next, parts)) = logits(Some(7_000), 30) else { return };
    assert!(nmse(&split_prompt, &prompt) < 1e-12);
    assert!(nmse(&split_next, &next) < 1e-12);
    let count = |name: &str| parts.iter().filter(|p| **p == name).count();
    assert_eq!(count("embed"), 7);
    assert_eq!(count("gate_up"), 3);
    assert_eq!(count("qkv_rope"), 4, "three parts of the projection, then the rotation");
}

#[test]
fn decode_over_a_long_context_is_split_over_its_keys_and_gives_what_prefill_gives() {
    let Some((_, next, dispatches)) = logits(None, 700) else { return };
    assert_eq!(dispatches.iter().filter(|d| **d == "attention").count(), 2);
    assert!(dispatches.len() <= 2 + 7, "{dispatches:?}");
    // The same token as the last row of a prompt.
    let Some((prompt, _, _)) = logits(None, 701) else { return };
    assert!(nmse(&next, &prompt[700 * VOCAB..]) < 1e-10);
}

#[test]
fn so_it_does_with_keys_and_values_in_8_bits() {
    let Some((_, next, dispatches)) = logits_with(None, 700, DType::I8) else { return };
    let layer = ["linear", "rope", "attention", "attention", "linear", "gate_up", "linear"];
    assert_eq!(dispatches, [&["embed"][..], &layer, &["linear"]].concat());
    let Some((prompt, _, _)) = logits_with(None, 701, DType::I8) else { return };
    // Projections of one row and of many differ in last bits, and elements between two integers may go to either.
    let error = nmse(&next, &prompt[700 * VOCAB..]);
    assert!(error < 1e-6, "{error}");
    let Some((exact, _, _)) = logits(None, 701) else { return };
    let error = nmse(&next, &exact[700 * VOCAB..]);
    assert!(error > 0.0 && error < 1e-3, "{error}");
}

#[test]
fn a_state_above_the_binding_limit_is_refused_with_both_sizes() {
    let Some(mut backend) = open(WgpuOptions { max_binding: Some(1 << 16), ..WgpuOptions::default() }) else {
        return;
    };
    let error = backend.allocate_state("kv.0.k", DType::BF16, 4096, 64).unwrap_err();
    assert!(matches!(error, BackendError::Limit { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("kv.0.k") && text.contains("524288") && text.contains("65536"), "{text}");
}

#[test]
fn activations_above_the_binding_limit_are_refused_when_the_program_is_made() {
    let Some(mut backend) =
        open(WgpuOptions { tier: Some(monolens_wgpu::Tier::Baseline), ..WgpuOptions::default() })
    else {
        return;
    };
    let mut g = GraphBuilder::new("wide");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), 8.into()]);
    let weight = g.weight("w", [4096, 8]);
    let y = g.push("w", ops::Linear::shared(weight, None), &[x]).unwrap();
    g.output("y", y).unwrap();
    let graph = g.finish();
    load_random(&mut backend, &graph);
    let plan =
        monolens_graph::plan::Plan::new(&graph, backend.capabilities(), Axes::new().with(Axis::Rows, 10_000));
    let error = pollster::block_on(backend.prepare(plan)).unwrap_err();
    assert!(matches!(error, BackendError::Limit { .. }), "{error}");
}

#[test]
fn nothing_is_allocated_or_compiled_once_a_program_has_run() {
    let Some(mut backend) = open(WgpuOptions::default()) else { return };
    let mut g = GraphBuilder::new("one");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), 8.into()]);
    let weight = g.weight("w", [16, 8]);
    let y = g.push("w", ops::Linear::shared(weight, None), &[x]).unwrap();
    g.output("y", y).unwrap();
    let graph = g.finish();
    load_random(&mut backend, &graph);
    let program = prepare(&mut backend, &graph, Axes::new().with(Axis::Rows, 4));
    let x = random(32, 1);
    let inputs = [("x", bytemuck::cast_slice(&x))];
    let axes = Axes::new().with(Axis::Rows, 4);
    let first = run(&mut backend, program, &graph, axes, &inputs).unwrap();
    let before = (backend.memory(), backend.pipelines());
    for _ in 0..5 {
        assert_eq!(run(&mut backend, program, &graph, axes, &inputs).unwrap(), first);
    }
    assert_eq!((backend.memory(), backend.pipelines()), before);
}
