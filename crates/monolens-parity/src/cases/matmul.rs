//! Projections: plain, routed, fused.

use super::DrawCase;
use crate::case::{Case, Draw};
use crate::compare::limit;
use monolens_graph::{Axis, Expert, Routed, ValueId, WeightId, ops};

pub(super) const CASES: [(&str, DrawCase); 9] = [
    ("linear", linear),
    ("linear, normed", normed_linear),
    ("linear, residual", residual_linear),
    ("linear, gelu", gelu_linear),
    ("linear, scaled residual", scaled_linear),
    ("linear, routed", routed_linear),
    ("linear, chained", chained_linear),
    ("gate_up", gate_up),
    ("mmoe ffn", mmoe_ffn),
];

pub(super) const LARGE: [(&str, DrawCase); 3] = [
    ("linear, many rows", many_linear),
    ("linear, chained, many rows", many_chained_linear),
    ("mmoe ffn, many rows", many_mmoe_ffn),
];

struct Start {
    d: Draw,
    x: ValueId,
    inner: usize,
    out: usize,
    rows: usize,
}

fn start(operator: &str, number: usize) -> Start {
    let mut d = Draw::new(operator, number);
    let rows = d.rows(130);
    start_with(d, rows)
}

/// With more than 256 rows, of which the last block is not full.
fn start_many(operator: &str, number: usize) -> Start {
    let mut d = Draw::new(operator, number);
    let rows = 256 + d.size(130);
    start_with(d, rows)
}

fn start_with(mut d: Draw, rows: usize) -> Start {
    let number = d.number;
    d.axis(Axis::Rows, rows);
    let inner = d.inner(130) * if number % 7 == 6 { 5 } else { 1 };
    let out = d.size(130);
    let x = d.input("x", &[Axis::Rows.into(), inner.into()]);
    Start { d, x, inner, out, rows }
}

fn push(d: &mut Draw, name: &str, op: impl Into<ops::Op>, inputs: &[ValueId]) -> ValueId {
    d.g.push(name, op, inputs).expect("a well-formed case")
}

fn finish(mut d: Draw, y: ValueId) -> Case {
    d.g.output("y", y).expect("one output");
    d.finish(limit::MATMUL)
}

fn experts(d: &mut Draw, name: &str, out: usize, inner: usize) -> Routed<WeightId> {
    Routed::split(d.weight(name, &[out, inner]), d.weight(&format!("{name}_ve"), &[out, inner]))
}

fn weighted(ids: Routed<WeightId>) -> Routed<Expert> {
    Routed { text: Expert::Weight(ids.text), visual: ids.visual.map(Expert::Weight) }
}

fn linear(number: usize) -> Case {
    plain_linear(start("linear", number))
}

fn many_linear(number: usize) -> Case {
    plain_linear(start_many("many linear", number))
}

fn plain_linear(start: Start) -> Case {
    let Start { mut d, x, inner, out, .. } = start;
    let number = d.number;
    let w = d.weight("w", &[out, inner]);
    let bias = (number % 2 == 1).then(|| d.weight("b", &[out]));
    let y = push(&mut d, "linear", ops::Linear::shared(w, bias), &[x]);
    finish(d, y)
}

fn normed_linear(number: usize) -> Case {
    let Start { mut d, x, inner, out, .. } = start("normed linear", number);
    let weight = d.weight("norm", &[inner]);
    let w = d.weight("w", &[out, inner]);
    let n = push(&mut d, "norm", ops::RmsNorm { weight, eps: 1e-5 }, &[x]);
    let y = push(&mut d, "linear", ops::Linear::shared(w, None), &[n]);
    finish(d, y)
}

fn residual_linear(number: usize) -> Case {
    let Start { mut d, x, inner, out, .. } = start("residual linear", number);
    let w = d.weight("w", &[out, inner]);
    let bias = (number % 3 == 1).then(|| d.weight("b", &[out]));
    let r = d.input("r", &[Axis::Rows.into(), out.into()]);
    let y = push(&mut d, "linear", ops::Linear::shared(w, bias), &[x]);
    let y = push(&mut d, "residual", ops::Add, &[r, y]);
    finish(d, y)
}

fn gelu_linear(number: usize) -> Case {
    let Start { mut d, x, inner, out, .. } = start("gelu linear", number);
    let (w, b) = (d.weight("w", &[out, inner]), d.weight("b", &[out]));
    let y = push(&mut d, "linear", ops::Linear::shared(w, Some(b)), &[x]);
    let y = push(&mut d, "gelu", ops::Gelu, &[y]);
    finish(d, y)
}

fn scaled_linear(number: usize) -> Case {
    let Start { mut d, x, inner, out, .. } = start("scaled linear", number);
    let (w, b, scale) = (d.weight("w", &[out, inner]), d.weight("b", &[out]), d.weight("ls", &[out]));
    let r = d.input("r", &[Axis::Rows.into(), out.into()]);
    let y = push(&mut d, "linear", ops::Linear::shared(w, Some(b)), &[x]);
    let y = push(&mut d, "residual", ops::ScaledAdd { scale }, &[r, y]);
    finish(d, y)
}

fn routed_linear(number: usize) -> Case {
    let Start { mut d, x, inner, out, rows } = start("routed linear", number);
    let visual = d.modalities(rows);
    let routing = d.routing(&visual);
    let w = weighted(experts(&mut d, "w", out, inner));
    let bias = (number % 3 == 1).then(|| Routed::split(d.weight("b", &[out]), d.weight("b_ve", &[out])));
    let mut y = push(&mut d, "linear", ops::Linear::routed(w, bias), &[x, routing]);
    if number % 2 == 1 {
        let r = d.input("r", &[Axis::Rows.into(), out.into()]);
        y = push(&mut d, "residual", ops::Add, &[r, y]);
    }
    finish(d, y)
}

/// The chained reading of 1.5: text rows pass, visual rows are projected once more.
fn chained_linear(number: usize) -> Case {
    text_passes(start("chained linear", number))
}

fn many_chained_linear(number: usize) -> Case {
    text_passes(start_many("many chained linear", number))
}

fn text_passes(start: Start) -> Case {
    let Start { mut d, x, inner, rows, .. } = start;
    let number = d.number;
    let visual = d.modalities(rows);
    let routing = d.routing(&visual);
    let w = d.weight("w_ve", &[inner, inner]);
    let op = ops::Linear::routed(Routed::split(Expert::Identity, Expert::Weight(w)), None);
    let mut y = push(&mut d, "linear", op, &[x, routing]);
    if number % 2 == 1 {
        let r = d.input("r", &[Axis::Rows.into(), inner.into()]);
        y = push(&mut d, "residual", ops::Add, &[r, y]);
    }
    finish(d, y)
}

fn push_gate_up(d: &mut Draw, x: ValueId, routing: Option<ValueId>, inner: usize, ffn: usize) -> ValueId {
    let norm = d.weight("norm", &[inner]);
    let n = push(d, "norm", ops::RmsNorm { weight: norm, eps: 1e-5 }, &[x]);
    let (gate, up) = match routing {
        Some(_) => (weighted(experts(d, "w1", ffn, inner)), weighted(experts(d, "w3", ffn, inner))),
        None => {
            let (w1, w3) = (d.weight("w1", &[ffn, inner]), d.weight("w3", &[ffn, inner]));
            (Routed::shared(Expert::Weight(w1)), Routed::shared(Expert::Weight(w3)))
        }
    };
    let inputs: Vec<ValueId> = std::iter::once(n).chain(routing).collect();
    let g = push(d, "w1", ops::Linear::routed(gate, None), &inputs);
    let u = push(d, "w3", ops::Linear::routed(up, None), &inputs);
    push(d, "swiglu", ops::SwiGlu, &[g, u])
}

fn gate_up(number: usize) -> Case {
    let Start { mut d, x, inner, out, rows } = start("gate_up", number);
    let routing = (number % 4 != 3).then(|| {
        let visual = d.modalities(rows);
        d.routing(&visual)
    });
    let y = push_gate_up(&mut d, x, routing, inner, out);
    finish(d, y)
}

/// The whole routed FFN with its residual.
fn mmoe_ffn(number: usize) -> Case {
    routed_ffn(start("mmoe ffn", number))
}

fn many_mmoe_ffn(number: usize) -> Case {
    routed_ffn(start_many("many mmoe ffn", number))
}

fn routed_ffn(start: Start) -> Case {
    let Start { mut d, x, inner, rows, .. } = start;
    let out = d.inner(130);
    let visual = d.modalities(rows);
    let routing = d.routing(&visual);
    let h = push_gate_up(&mut d, x, Some(routing), inner, out);
    let w2 = weighted(experts(&mut d, "w2", inner, out));
    let y = push(&mut d, "w2", ops::Linear::routed(w2, None), &[h, routing]);
    let y = push(&mut d, "residual", ops::Add, &[x, y]);
    finish(d, y)
}
