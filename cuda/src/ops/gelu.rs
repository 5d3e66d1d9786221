use super::Lower;
use crate::program::{Launches, THREADS, threads, word};
use monolens_graph::{BackendError, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("gelu", "gelu")?;
    let (result, x) = (cx.result(node)?, cx.place(node.inputs[0]));
    let shape = cx.shape(node.inputs[0]).clone();
    Ok(Box::new(move |run, out| {
        let elements = shape.elements(run.axes);
        let arguments = [run.at(&result), run.at(&x), word(elements)];
        out.launch(kernel, threads(elements), THREADS, &arguments);
    }))
}
