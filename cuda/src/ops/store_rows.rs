use super::Lower;
use crate::program::{Launches, THREADS, threads, word};
use monolens_graph::{Axis, BackendError, DType, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    if cx.state_dtype(node, node.inputs[2])? != DType::F32 {
        return Err(cx.error(node, "its state must be f32"));
    }
    let kernel = cx.kernel("store_rows", "store_rows")?;
    let (x, slots, state) = (cx.place(node.inputs[0]), cx.place(node.inputs[1]), cx.place(node.inputs[2]));
    let (shape, width) = (cx.shape(node.inputs[0]).clone(), cx.width(node.inputs[0]));
    Ok(Box::new(move |run, out| {
        let elements = shape.elements(run.axes);
        let tile = elements / run.axes.get(Axis::Tiles).max(1);
        let arguments = [run.at(&state), run.at(&x), run.at(&slots), word(elements), word(tile), word(width)];
        out.launch(kernel, threads(elements), THREADS, &arguments);
    }))
}
