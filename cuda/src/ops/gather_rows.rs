use super::Lower;
use crate::program::{Launches, THREADS, threads, word};
use monolens_graph::{Axis, BackendError, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("gather_rows", "gather_rows")?;
    let (result, x, rows) = (cx.result(node)?, cx.place(node.inputs[0]), cx.place(node.inputs[1]));
    let width = cx.width(node.inputs[0]);
    Ok(Box::new(move |run, out| {
        let elements = run.axes.get(Axis::Samples) * width;
        let arguments = [run.at(&result), run.at(&x), run.at(&rows), word(elements), word(width)];
        out.launch(kernel, threads(elements), THREADS, &arguments);
    }))
}
