use super::Lower;
use crate::gpu::Argument;
use crate::program::{Launches, THREADS, blocks, word};
use monolens_graph::{BackendError, Lowering, Node, ops::RmsNorm};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &RmsNorm) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("rms_norm", "rms_norm")?;
    let (result, x, weight) = (cx.result(node)?, cx.place(node.inputs[0]), cx.weight_place(op.weight)?);
    let (shape, width) = (cx.shape(node.inputs[0]).clone(), cx.width(node.inputs[0]));
    let eps = Argument::Float(op.eps);
    Ok(Box::new(move |run, out| {
        let rows = shape.rows(run.axes);
        let arguments = [run.at(&result), run.at(&x), run.at(&weight), word(rows), word(width), eps];
        out.launch(kernel, blocks(rows), THREADS, &arguments);
    }))
}
