use super::Lower;
use super::project::{Params, Projection};
use crate::program::{Launches, Place};
use monolens_graph::ops::{Linear, Residual};
use monolens_graph::{BackendError, Expert, Lowering, Node, Shape};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &Linear) -> Result<Launches, BackendError> {
    let (result, x) = (cx.result(node)?, cx.place(node.inputs[0]));
    let shape = cx.shape(node.inputs[0]).clone();
    project(cx, node, op, (x, shape), result)
}

/// The same from any rows to any place.
pub(super) fn project(
    cx: &mut Lower<'_>,
    node: &Node,
    op: &Linear,
    (x, shape): (Place, Shape),
    result: Place,
) -> Result<Launches, BackendError> {
    let matrices = op.matrices();
    cx.same_format(&matrices)?;
    let any = matrices[0];
    // In place of an identity's matrix, which there is none of, the other one is bound.
    let text = cx.matrix(node, op.weight.text.weight().unwrap_or(any))?;
    let visual = cx.matrix(node, op.weight.visual.and_then(Expert::weight).unwrap_or(any))?;
    let width = text.parts.iter().map(|p| p.rows).sum();
    let mut params = Params::new(text, width);
    params.identity = op.identities();
    params.norm(cx, node, op.norm.as_ref())?;
    params.bias(cx, node, op.bias)?;
    params.gelu = op.gelu;
    let mut residual = x.clone();
    if op.residual != Residual::None {
        params.residual = true;
        residual = cx.place(node.inputs[1]);
    }
    if let Residual::Scaled(scale) = op.residual {
        params.scale = cx.vector(node, scale)?;
    }
    if op.is_routed() {
        params.routing = cx.table(node, node.inputs[node.inputs.len() - 1])?;
    }
    let visual = if op.weight.is_routed() { visual } else { text };
    Ok(Projection {
        file: "linear",
        params,
        shape,
        routed: op.is_routed(),
        text,
        visual,
        up: None,
        result,
        x,
        more: vec![residual],
        written: &[0],
    }
    .lower(cx))
}
