//! How fast a decoder of the size of Mono-InternVL-2B runs: prefill of one image and a question, then decoding.
//!
//! `cargo run --release -p monolens-cpu --example decoder [LAYERS] [ROWS] [exact] [profile]`. Weights are random bf16. With fewer
//! than 24 layers (6 GB of weights) the times of the layers are scaled up.

use half::bf16;
use monolens_cpu::{Arithmetic, CpuBackend, CpuOptions};
use monolens_graph::backend::ProgramId;
use monolens_graph::batch::{self, Batch, Chunk, NO_VISUAL, PAGE_SIZE, SamplingRow};
use monolens_graph::ops::{self, Heads, QkvLayout};
use monolens_graph::plan::Plan;
use monolens_graph::{Axis, Backend, DType, Expert, Graph, GraphBuilder, GraphError, Routed, Source};
use std::time::Instant;

const HEADS: Heads = Heads { query: 16, kv: 8, size: 128 };
const D: usize = 2048;
const FFN: usize = 8192;
const VOCAB: usize = 92_553;
const ALL_LAYERS: usize = 24;
const SLOTS: usize = 4096;
const VISUAL_SLOTS: usize = 256;

fn decoder(layers: usize, head: bool) -> Result<Graph, GraphError> {
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
    let table = g.weight("output", [VOCAB, D]);
    let mut x = g.push("embed", ops::Embed { table }, &[rows, visual_rows, visual])?;
    for i in 0..layers {
        let k = g.state(&batch::key_state(i), DType::BF16, pool);
        let v = g.state(&batch::value_state(i), DType::BF16, pool);
        let weight = g.weight("norm", [D]);
        let norm = ops::RmsNorm { weight, eps: 1e-5 };
        let wqkv = g.weight(format!("{i}.wqkv"), [HEADS.qkv_width(), D]);
        let wo = g.weight(format!("{i}.wo"), [D, HEADS.query_width()]);
        let mut experts = |name: &str, out, inner| {
            let text = g.weight(format!("{i}.{name}"), [out, inner]);
            let visual = g.weight(format!("{i}.{name}_ve"), [out, inner]);
            Routed::split(Expert::Weight(text), Expert::Weight(visual))
        };
        let (w1, w3, w2) = (experts("w1", FFN, D), experts("w3", FFN, D), experts("w2", D, FFN));
        let y = g.push("norm", norm, &[x])?;
        let qkv = g.push("qkv", ops::Linear::shared(wqkv, None), &[y])?;
        let turn = ops::Rope { heads: HEADS, layout: QkvLayout::Grouped };
        let q = g.push("rope", turn, &[qkv, rows, rope, k, v])?;
        let attention = ops::Attention { heads: HEADS, scale: 0.088 };
        let a = g.push("attention", attention, &[q, rows, pages, blocks, k, v])?;
        let o = g.push("o", ops::Linear::shared(wo, None), &[a])?;
        let x_1 = g.push("add", ops::Add, &[x, o])?;
        let z = g.push("norm", norm, &[x_1])?;
        let gate = g.push("gate", ops::Linear::routed(w1, None), &[z, routing])?;
        let up = g.push("up", ops::Linear::routed(w3, None), &[z, routing])?;
        let h = g.push("swiglu", ops::SwiGlu, &[gate, up])?;
        let down = g.push("down", ops::Linear::routed(w2, None), &[h, routing])?;
        x = g.push("add", ops::Add, &[x_1, down])?;
    }
    if !head {
        g.output("hidden", x)?;
        return Ok(g.finish());
    }
    let sample_rows = g.input(batch::SAMPLE_ROWS, DType::U32, [Axis::Samples.into()]);
    let sampling = g.input(batch::SAMPLING, DType::U32, [Axis::Samples.into(), 8.into()]);
    let seen = g.input(batch::SEEN, DType::U32, [Axis::Samples.into(), VOCAB.div_ceil(32).into()]);
    let last = g.push("last", ops::GatherRows, &[x, sample_rows])?;
    let weight = g.weight("norm", [D]);
    let y = g.push("norm", ops::RmsNorm { weight, eps: 1e-5 }, &[last])?;
    let logits = g.push("logits", ops::Linear::shared(table, None), &[y])?;
    let ids = g.push("sample", ops::Sample, &[logits, sampling, seen])?;
    g.output(batch::NEXT_IDS, ids)?;
    Ok(g.finish())
}

fn pack(rows: usize, start: usize, visual: usize) -> Batch {
    let ids = vec![7; rows];
    let slots: Vec<u32> =
        (0..rows).map(|i| if (20..20 + visual).contains(&i) { (i - 20) as u32 } else { NO_VISUAL }).collect();
    let pages: Vec<u32> = (0..(SLOTS / PAGE_SIZE) as u32).collect();
    let rope: Vec<f32> = (0..rows * HEADS.size).map(|i| if i % 128 < 64 { 0.8 } else { 0.6 }).collect();
    let sample = Some(SamplingRow { temperature: 1.0, top_k: 50, ..SamplingRow::GREEDY });
    let chunk =
        Chunk { ids: &ids, visual: &slots, start, pages: &pages, rope: &rope, sample, ..Chunk::default() };
    Batch::pack(&[chunk], VOCAB)
}

/// Best and median seconds of a few runs.
fn time(backend: &mut CpuBackend, program: ProgramId, batch: &Batch, runs: usize) -> (f64, f64) {
    let job = batch.job(SLOTS, VISUAL_SLOTS);
    let mut times: Vec<f64> = (0..=runs)
        .map(|_| {
            let start = Instant::now();
            pollster::block_on(backend.run(program, &job)).expect("a run");
            start.elapsed().as_secs_f64()
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

/// Seconds on a CPU that all threads of this program have had, where the system tells (Linux).
fn cpu_seconds() -> f64 {
    let of = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    std::fs::read_dir("/proc/self/task").map_or(0.0, |t| t.flatten().filter_map(of).sum::<f64>() * 1e-9)
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (layers, rows) = (number(0, 4), number(1, 310));
    let arithmetic = if args.iter().any(|a| a == "exact") { Arithmetic::Exact } else { Arithmetic::Fast };
    let mut backend = CpuBackend::new(CpuOptions { threads: None, arithmetic }).expect("a backend");
    println!("{}, {}, {}", backend.device().name, backend.device().tier, backend.device().detail);

    let graph = decoder(layers, true).expect("a graph");
    for spec in &graph.weights {
        let len: usize = spec.shape.iter().product();
        let scale = if spec.shape.len() == 2 { (3.0 / spec.shape[1] as f32).sqrt() } else { 1.0 };
        let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 16) as f32 / 32_768.0 - 1.0;
        backend.begin_weight(spec, DType::BF16.into()).expect("memory");
        for from in (0..len).step_by(1 << 20) {
            let values: Vec<bf16> =
                (from..len.min(from + (1 << 20))).map(|i| bf16::from_f32(scale * value(i))).collect();
            backend.write_weight(bytemuck::cast_slice(&values)).expect("the bytes");
        }
        backend.end_weight().expect("all bytes");
    }
    for (_, value) in graph.of_source(Source::State) {
        let slots = if value.name == batch::VISUAL { VISUAL_SLOTS } else { SLOTS };
        backend
            .allocate_state(&value.name, value.dtype, slots, value.shape.width().unwrap_or(1))
            .expect("memory");
    }
    let visual = rows.saturating_sub(54).min(256);
    let prefill = pack(rows, 0, visual);
    let capabilities = *backend.capabilities();
    let limits = prefill.axes(SLOTS, VISUAL_SLOTS).with(Axis::Context, SLOTS);
    let mut program = |graph: &Graph, text: bool| {
        let plan = if text { Plan::text_only } else { Plan::new }(graph, &capabilities, limits);
        pollster::block_on(backend.prepare(plan)).expect("a program")
    };
    let body = decoder(layers, false).expect("a graph");
    let programs =
        [program(&graph, false), program(&body, false), program(&graph, true), program(&body, true)];
    let decode = pack(1, rows, 0);
    for (name, whole, body, batch, runs) in [
        ("prefill", programs[0], programs[1], &prefill, 3),
        ("decode", programs[2], programs[3], &decode, 15),
    ] {
        let cpu = cpu_seconds();
        let (best, median) = time(&mut backend, whole, batch, runs);
        let cpu = (cpu_seconds() - cpu) / (runs + 1) as f64 / 2.0;
        let (best_body, median_body) = time(&mut backend, body, batch, runs);
        let more = (ALL_LAYERS - layers.min(ALL_LAYERS)) as f64 / layers as f64;
        let all = |whole: f64, body: f64| whole + more * body;
        println!(
            "{name} of {} rows ({visual} visual at prefill): {:.3} s best, {:.3} s median, for {ALL_LAYERS} layers; \
             {layers} layers {best:.3} s, {cpu:.3} s of CPU time a core",
            batch.rows.len(),
            all(best, best_body),
            all(median, median_body),
        );
    }
    let memory = backend.memory();
    println!(
        "{} MB weights, {} MB states, {} MB activations",
        memory.weights >> 20,
        memory.states >> 20,
        memory.activations >> 20
    );
}
