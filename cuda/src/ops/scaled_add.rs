use super::Lower;
use crate::program::{Launches, THREADS, threads, word};
use monolens_graph::{BackendError, Lowering, Node, ops::ScaledAdd};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &ScaledAdd) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("scaled_add", "scaled_add")?;
    let (result, a, b) = (cx.result(node)?, cx.place(node.inputs[0]), cx.place(node.inputs[1]));
    let scale = cx.weight_place(op.scale)?;
    let (shape, width) = (cx.shape(node.inputs[0]).clone(), cx.width(node.inputs[0]));
    Ok(Box::new(move |run, out| {
        let elements = shape.elements(run.axes);
        let arguments =
            [run.at(&result), run.at(&a), run.at(&b), run.at(&scale), word(elements), word(width)];
        out.launch(kernel, threads(elements), THREADS, &arguments);
    }))
}
