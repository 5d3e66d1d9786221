use super::{Lower, linear};
use crate::program::{Launch, Launches, threads};
use monolens_graph::ops::{Linear, PatchEmbed};
use monolens_graph::{BackendError, Dim, Lowering, Node, Shape};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &PatchEmbed) -> Result<Launches, BackendError> {
    let side = cx.width(node.inputs[0]);
    let along = side / op.patch;
    let inner = 3 * op.patch * op.patch;
    let tiles = cx.shape(node.inputs[0]).0[0];
    let shape = Shape(vec![tiles, Dim::Const(along * along), Dim::Const(inner)]);
    let patches = cx.scratch(shape.elements(&cx.plan().limits) * 4);
    let places = vec![patches.clone(), cx.place(node.inputs[0])];
    let kernel = cx.kernel("patch_embed", &[], places, &[0]);
    let result = cx.result(node)?;
    let linear = Linear::shared(op.weight, Some(op.bias));
    let project = linear::project(cx, node, &linear, (patches, shape.clone()), result)?;
    let words = [side as u32, along as u32, op.patch as u32];
    Ok(Box::new(move |axes, out| {
        let elements = shape.elements(axes);
        out.push(Launch::new(kernel, &[elements as u32, words[0], words[1], words[2]], threads(elements)));
        project(axes, out);
    }))
}
