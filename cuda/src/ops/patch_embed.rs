use super::{Lower, linear};
use crate::program::{Launches, THREADS, threads, word};
use monolens_graph::ops::{Linear, PatchEmbed};
use monolens_graph::{BackendError, Dim, Lowering, Node, Shape};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &PatchEmbed) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("patch_embed", "patch_embed")?;
    let (side, pixels) = (cx.width(node.inputs[0]), cx.place(node.inputs[0]));
    let along = side / op.patch;
    let inner = 3 * op.patch * op.patch;
    let tiles = cx.shape(node.inputs[0]).0[0];
    let shape = Shape(vec![tiles, Dim::Const(along * along), Dim::Const(inner)]);
    let patches = cx.scratch(shape.elements(&cx.plan().limits) * 4);
    let result = cx.result(node)?;
    let linear = Linear::shared(op.weight, Some(op.bias));
    let project = linear::project(cx, node, &linear, (patches.clone(), shape.clone()), result)?;
    let sizes = [side, along, op.patch];
    Ok(Box::new(move |run, out| {
        let elements = shape.elements(run.axes);
        let [side, along, patch] = sizes.map(word);
        let arguments = [run.at(&patches), run.at(&pixels), word(elements), side, along, patch];
        out.launch(kernel, threads(elements), THREADS, &arguments);
        project(run, out);
    }))
}
