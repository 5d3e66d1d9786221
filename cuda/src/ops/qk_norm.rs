use super::Lower;
use crate::gpu::Argument;
use crate::program::{Launches, THREADS, blocks, word};
use monolens_graph::{BackendError, Lowering, Node, ops::QkNorm};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &QkNorm) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("qk_norm", "qk_norm")?;
    let (result, x) = (cx.result(node)?, cx.place(node.inputs[0]));
    let (q, k) = (cx.weight_place(op.q)?, cx.weight_place(op.k)?);
    let (shape, width) = (cx.shape(node.inputs[0]).clone(), cx.width(node.inputs[0]) / 3);
    let eps = Argument::Float(op.eps);
    Ok(Box::new(move |run, out| {
        let rows = shape.rows(run.axes);
        let [x_blocks, ..] = blocks(rows);
        let arguments = [run.at(&result), run.at(&x), run.at(&q), run.at(&k), word(rows), word(width), eps];
        out.launch(kernel, [x_blocks, 1, 3], THREADS, &arguments);
    }))
}
