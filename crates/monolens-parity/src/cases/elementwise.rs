//! Element by element, and norms.

use super::DrawCase;
use crate::case::{Case, Draw};
use crate::compare::limit;
use monolens_graph::{Axis, ops};

pub(super) const CASES: [(&str, DrawCase); 7] = [
    ("add", add),
    ("scaled_add", scaled_add),
    ("swiglu", swiglu),
    ("gelu", gelu),
    ("rms_norm", rms_norm),
    ("layer_norm", layer_norm),
    ("qk_norm", qk_norm),
];

/// Sets the rows and draws an input `x` of a random width.
fn start(operator: &str, number: usize) -> (Draw, monolens_graph::ValueId, usize) {
    let mut d = Draw::new(operator, number);
    let rows = d.rows(67);
    d.axis(Axis::Rows, rows);
    let width = d.size(130) * if number % 5 == 4 { 17 } else { 1 };
    let x = d.input("x", &[Axis::Rows.into(), width.into()]);
    (d, x, width)
}

fn end(mut d: Draw, op: impl Into<ops::Op>, inputs: &[monolens_graph::ValueId]) -> Case {
    let y = d.g.push("op", op, inputs).expect("a well-formed case");
    d.g.output("y", y).expect("one output");
    d.finish(limit::ELEMENTWISE)
}

fn add(number: usize) -> Case {
    let (mut d, x, width) = start("add", number);
    let b = d.input("b", &[Axis::Rows.into(), width.into()]);
    end(d, ops::Add, &[x, b])
}

fn scaled_add(number: usize) -> Case {
    let (mut d, x, width) = start("scaled_add", number);
    let b = d.input("b", &[Axis::Rows.into(), width.into()]);
    let scale = d.weight("scale", &[width]);
    end(d, ops::ScaledAdd { scale }, &[x, b])
}

fn swiglu(number: usize) -> Case {
    let (mut d, x, width) = start("swiglu", number);
    let up = d.input("up", &[Axis::Rows.into(), width.into()]);
    end(d, ops::SwiGlu, &[x, up])
}

fn gelu(number: usize) -> Case {
    let (d, x, _) = start("gelu", number);
    end(d, ops::Gelu, &[x])
}

fn rms_norm(number: usize) -> Case {
    let (mut d, x, width) = start("rms_norm", number);
    let weight = d.weight("weight", &[width]);
    end(d, ops::RmsNorm { weight, eps: 1e-5 }, &[x])
}

fn layer_norm(number: usize) -> Case {
    let (mut d, x, width) = start("layer_norm", number);
    let (weight, bias) = (d.weight("weight", &[width]), d.weight("bias", &[width]));
    end(d, ops::LayerNorm { weight, bias, eps: 1e-6 }, &[x])
}

fn qk_norm(number: usize) -> Case {
    let mut d = Draw::new("qk_norm", number);
    let rows = d.rows(33);
    d.axis(Axis::Rows, rows);
    let width = d.size(97);
    let x = d.input("x", &[Axis::Rows.into(), (3 * width).into()]);
    let (q, k) = (d.weight("q", &[width]), d.weight("k", &[width]));
    end(d, ops::QkNorm { q, k, eps: 1e-6 }, &[x])
}
