use super::Lower;
use crate::program::{Launches, Place, THREADS, threads, word};
use monolens_graph::{BackendError, Lowering, Node, Shape};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    let places = [cx.result(node)?, cx.place(node.inputs[0]), cx.place(node.inputs[1])];
    launches(cx, places, cx.shape(node.inputs[0]).clone())
}

/// The same from anywhere: result, gate and up, of which the first two may be one.
pub(super) fn launches(cx: &Lower<'_>, places: [Place; 3], shape: Shape) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("swiglu", "swiglu")?;
    Ok(Box::new(move |run, out| {
        let elements = shape.elements(run.axes);
        let [result, gate, up] = places.each_ref().map(|place| run.at(place));
        out.launch(kernel, threads(elements), THREADS, &[result, gate, up, word(elements)]);
    }))
}
