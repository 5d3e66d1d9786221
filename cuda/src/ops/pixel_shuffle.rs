use super::Lower;
use crate::program::{Launches, THREADS, threads, word};
use monolens_graph::ops::{PixelShuffle, TokenOrder};
use monolens_graph::{BackendError, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &PixelShuffle) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("pixel_shuffle", "pixel_shuffle")?;
    let (result, x) = (cx.result(node)?, cx.place(node.inputs[0]));
    let shape = cx.shape(node.output.unwrap_or(node.inputs[0])).clone();
    let by_columns = op.order == TokenOrder::ColumnMajor;
    let sizes = [op.side, op.scale, cx.width(node.inputs[0]), op.skip_class.into(), by_columns.into()];
    Ok(Box::new(move |run, out| {
        let elements = shape.elements(run.axes);
        let [side, scale, width, skip, columns] = sizes.map(word);
        let arguments = [run.at(&result), run.at(&x), word(elements), side, scale, width, skip, columns];
        out.launch(kernel, threads(elements), THREADS, &arguments);
    }))
}
