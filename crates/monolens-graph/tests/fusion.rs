//! Fusion leaves a decoder layer with five operators, and takes nothing away that somebody reads.

use monolens_graph::batch::{self, ROUTE_BLOCK};
use monolens_graph::ops::{self, Heads, QkvLayout};
use monolens_graph::plan::{Capabilities, Fusions, Plan};
use monolens_graph::{Axes, Axis, DType, Expert, Graph, GraphBuilder, GraphError, Op, Routed};

const HEADS: Heads = Heads { query: 4, kv: 2, size: 8 };

/// One routed decoder layer, unfused; with `tap` the FFN's norm is an output.
fn layer(tap: bool) -> Result<Graph, GraphError> {
    layer_with(tap, DType::F32)
}

/// The same with keys and values of a type.
fn layer_with(tap: bool, kv: DType) -> Result<Graph, GraphError> {
    let (d, ffn) = (32, 48);
    let mut g = GraphBuilder::new("layer");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), d.into()]);
    let rows = g.input(batch::ROWS, DType::U32, [Axis::Rows.into(), 4.into()]);
    let rope = g.input(batch::ROPE, DType::F32, [Axis::Rows.into(), 8.into()]);
    let pages =
        g.input(batch::PAGE_TABLE, DType::U32, [Axis::Sequences.into(), Axis::PagesPerSequence.into()]);
    let blocks = g.input(batch::QUERY_BLOCKS, DType::U32, [Axis::QueryBlocks.into(), 2.into()]);
    let routing = g.input(batch::ROUTING, DType::U32, [Axis::RouteBlocks.into(), (1 + ROUTE_BLOCK).into()]);
    let pool = [Axis::KvSlots.into(), HEADS.cache_width(kv).into()];
    let (k, v) = (g.state("kv.0.k", kv, pool), g.state("kv.0.v", kv, pool));

    let norm_1 = g.weight("attention_norm", [d]);
    let norm_2 = g.weight("ffn_norm", [d]);
    let wqkv = g.weight("wqkv", [HEADS.qkv_width(), d]);
    let wo = g.weight("wo", [d, HEADS.query_width()]);
    let mut experts = |name: &str, out, inner| {
        let text = g.weight(name, [out, inner]);
        let visual = g.weight(format!("{name}_ve"), [out, inner]);
        Routed::split(Expert::Weight(text), Expert::Weight(visual))
    };
    let (w1, w3, w2) = (experts("w1", ffn, d), experts("w3", ffn, d), experts("w2", d, ffn));

    let y = g.push("attention_norm", ops::RmsNorm { weight: norm_1, eps: 1e-5 }, &[x])?;
    let qkv = g.push("wqkv", ops::Linear::shared(wqkv, None), &[y])?;
    let q =
        g.push("rope", ops::Rope { heads: HEADS, layout: QkvLayout::Grouped }, &[qkv, rows, rope, k, v])?;
    let a =
        g.push("attention", ops::Attention { heads: HEADS, scale: 0.35 }, &[q, rows, pages, blocks, k, v])?;
    let o = g.push("wo", ops::Linear::shared(wo, None), &[a])?;
    let x = g.push("attention_residual", ops::Add, &[x, o])?;
    let z = g.push("ffn_norm", ops::RmsNorm { weight: norm_2, eps: 1e-5 }, &[x])?;
    let gate = g.push("w1", ops::Linear::routed(w1, None), &[z, routing])?;
    let up = g.push("w3", ops::Linear::routed(w3, None), &[z, routing])?;
    let h = g.push("swiglu", ops::SwiGlu, &[gate, up])?;
    let down = g.push("w2", ops::Linear::routed(w2, None), &[h, routing])?;
    let x = g.push("ffn_residual", ops::Add, &[x, down])?;
    g.output("x", x)?;
    if tap {
        g.output("z", z)?;
    }
    Ok(g.finish())
}

fn names(plan: &Plan) -> Vec<&'static str> {
    plan.graph.nodes.iter().map(|n| n.op.name()).collect()
}

fn capabilities(fusions: Fusions) -> Capabilities {
    Capabilities { fusions, max_binding: 1 << 27, kv_dtype: DType::F32 }
}

#[test]
fn a_layer_becomes_five_operators() {
    let plan = Plan::new(&layer(false).unwrap(), &capabilities(Fusions::ALL), Axes::new());
    assert_eq!(names(&plan), ["qkv_rope", "attention", "linear", "gate_up", "linear"]);
}

#[test]
fn keys_in_8_bits_keep_the_rotation_apart() {
    let graph = layer_with(false, DType::I8).unwrap();
    let plan = Plan::new(&graph, &capabilities(Fusions::ALL), Axes::new());
    assert_eq!(names(&plan), ["linear", "rope", "attention", "linear", "gate_up", "linear"]);
}

#[test]
fn a_cache_of_the_wrong_width_is_refused() {
    let mut g = GraphBuilder::new("cache");
    let qkv = g.input("qkv", DType::F32, [Axis::Rows.into(), HEADS.qkv_width().into()]);
    let rows = g.input(batch::ROWS, DType::U32, [Axis::Rows.into(), 4.into()]);
    let rope = g.input(batch::ROPE, DType::F32, [Axis::Rows.into(), 8.into()]);
    let states = ["k", "v"].map(|name| g.state(name, DType::I8, [Axis::KvSlots.into(), 16.into()]));
    let op = ops::Rope { heads: HEADS, layout: QkvLayout::Grouped };
    let error = g.push("rope", op, &[qkv, rows, rope, states[0], states[1]]).unwrap_err().to_string();
    assert!(error.contains("[kv_slots, 24]") && error.contains("i8 [kv_slots, 16]"), "{error}");
}

#[test]
fn without_fusions_every_operator_stays() {
    let graph = layer(false).unwrap();
    let plan = Plan::new(&graph, &capabilities(Fusions::NONE), Axes::new());
    assert_eq!(plan.graph, graph);
}

#[test]
fn an_output_is_not_fused_away() {
    let plan = Plan::new(&layer(true).unwrap(), &capabilities(Fusions::ALL), Axes::new());
    assert_eq!(names(&plan), ["qkv_rope", "attention", "linear", "rms_norm", "gate_up", "linear"]);
}

#[test]
fn the_text_phase_names_no_visual_expert() {
    let plan = Plan::text_only(&layer(false).unwrap(), &capabilities(Fusions::ALL), Axes::new());
    let used = plan.graph.used_weights();
    assert!(used.iter().all(|&id| !plan.graph.weight(id).name.ends_with("_ve")));
    assert!(plan.graph.nodes.iter().all(|n| match &n.op {
        Op::GateUp(op) => !op.is_routed() && n.inputs.len() == 1,
        Op::Linear(op) => !op.is_routed() && n.inputs.len() == 2,
        _ => true,
    }));
}

#[test]
fn errors_name_operator_expected_and_got() {
    let mut g = GraphBuilder::new("wrong");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), 8.into()]);
    let w = g.weight("w", [4, 9]);
    let error = g.push("projection", ops::Linear::shared(w, None), &[x]).unwrap_err();
    assert_eq!(error.to_string(), "projection (linear): weight w: expected [out, 8], got [4, 9]");
    let error = g.push("sum", ops::Add, &[x]).unwrap_err();
    assert_eq!(error.to_string(), "sum (add): expected 2 inputs, got 1");
}

#[test]
fn a_chained_identity_vanishes_from_the_text_phase() {
    let mut g = GraphBuilder::new("chained");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), 8.into()]);
    let routing = g.input(batch::ROUTING, DType::U32, [Axis::RouteBlocks.into(), (1 + ROUTE_BLOCK).into()]);
    let ve = g.weight("wo_ve", [8, 8]);
    let op = ops::Linear::routed(Routed::split(Expert::Identity, Expert::Weight(ve)), None);
    let t = g.push("wo_ve", op, &[x, routing]).unwrap();
    let y = g.push("sum", ops::Add, &[x, t]).unwrap();
    g.output("y", y).unwrap();
    let graph = g.finish();
    let plan = Plan::text_only(&graph, &capabilities(Fusions::ALL), Axes::new());
    assert_eq!(names(&plan), ["add"]);
    assert_eq!(plan.graph.nodes[0].inputs, [x, x]);
}
