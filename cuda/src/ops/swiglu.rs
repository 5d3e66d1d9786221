use super::Lower;
use crate::program::{Launches, THREADS, threads, word};
use monolens_graph::{BackendError, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("swiglu", "swiglu")?;
    let (result, gate, up) = (cx.result(node)?, cx.place(node.inputs[0]), cx.place(node.inputs[1]));
    let shape = cx.shape(node.inputs[0]).clone();
    Ok(Box::new(move |run, out| {
        let elements = shape.elements(run.axes);
        let arguments = [run.at(&result), run.at(&gate), run.at(&up), word(elements)];
        out.launch(kernel, threads(elements), THREADS, &arguments);
    }))
}
