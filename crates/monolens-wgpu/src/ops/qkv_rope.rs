use super::project::{Params, Projection};
use super::{Lower, linear, rope};
use crate::program::Launches;
use monolens_graph::ops::{Linear, QkvLayout, QkvRope, Residual, Rope};
use monolens_graph::{BackendError, DType, Expert, Lowering, Node, Routed, WeightId};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &QkvRope) -> Result<Launches, BackendError> {
    let weights: Vec<WeightId> = op.weight.iter().copied().collect();
    cx.same_format(&weights)?;
    let text = cx.matrix(node, op.weight.text)?;
    // The fused kernel has the two halves of a head in one buffer, and stores bf16 in pairs.
    if text.parts.len() > 1 || !op.heads.size.is_multiple_of(4) {
        return in_two(cx, node, op);
    }
    let visual = cx.matrix(node, op.weight.visual.unwrap_or(op.weight.text))?;
    let mut params = Params::new(text, op.heads.query_width());
    params.norm(cx, node, op.norm.as_ref())?;
    params.bias(cx, node, op.bias)?;
    if op.is_routed() {
        params.routing = cx.table(node, node.inputs[5])?;
    }
    let kv = cx.kv_dtype(node, node.inputs[3], node.inputs[4])?;
    params.qkv = [
        cx.table(node, node.inputs[1])?,
        cx.table(node, node.inputs[2])?,
        op.heads.query as u32,
        op.heads.kv as u32,
        op.heads.size as u32,
        u32::from(op.layout == QkvLayout::Concatenated),
        u32::from(kv == DType::BF16),
    ];
    Ok(Projection {
        file: "qkv_rope",
        params,
        shape: cx.shape(node.inputs[0]).clone(),
        routed: op.is_routed(),
        text,
        visual,
        up: None,
        result: cx.result(node)?,
        x: cx.place(node.inputs[0]),
        more: vec![cx.place(node.inputs[3]), cx.place(node.inputs[4])],
        written: &[0, 6, 7],
    }
    .lower(cx))
}

/// A projection into scratch memory, then the rotation.
fn in_two(cx: &mut Lower<'_>, node: &Node, op: &QkvRope) -> Result<Launches, BackendError> {
    let experts =
        Routed { text: Expert::Weight(op.weight.text), visual: op.weight.visual.map(Expert::Weight) };
    let linear =
        Linear { weight: experts, bias: op.bias, norm: op.norm, gelu: false, residual: Residual::None };
    let shape = cx.shape(node.inputs[0]).clone();
    let qkv = cx.scratch(shape.rows(&cx.plan().limits) * op.heads.qkv_width() * 4);
    let x = cx.place(node.inputs[0]);
    let project = linear::project(cx, node, &linear, (x, shape), qkv.clone())?;
    let rope = Rope { heads: op.heads, layout: op.layout };
    let rotate = rope::rotate(cx, node, &rope, qkv)?;
    Ok(Box::new(move |axes, out| {
        project(axes, out);
        rotate(axes, out);
    }))
}
