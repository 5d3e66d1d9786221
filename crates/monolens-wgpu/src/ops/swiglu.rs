use super::Lower;
use crate::program::{Launch, Launches, threads};
use monolens_graph::{BackendError, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    let places = vec![cx.result(node)?, cx.place(node.inputs[0]), cx.place(node.inputs[1])];
    let kernel = cx.kernel("swiglu", &[], places, &[0]);
    let shape = cx.shape(node.inputs[0]).clone();
    Ok(Box::new(move |axes, out| {
        let elements = shape.elements(axes);
        out.push(Launch::new(kernel, &[elements as u32], threads(elements)));
    }))
}
