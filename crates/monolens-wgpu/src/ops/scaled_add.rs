use super::Lower;
use crate::program::{Launch, Launches, Place, threads};
use monolens_graph::{BackendError, Lowering, Node, ops::ScaledAdd};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &ScaledAdd) -> Result<Launches, BackendError> {
    let places = vec![cx.result(node)?, cx.place(node.inputs[0]), cx.place(node.inputs[1]), Place::Vectors];
    let (width, scale) = (cx.width(node.inputs[0]) as u32, cx.vector(node, op.scale)?);
    let kernel = cx.kernel("scaled_add", &[], places, &[0]);
    let shape = cx.shape(node.inputs[0]).clone();
    Ok(Box::new(move |axes, out| {
        let elements = shape.elements(axes);
        out.push(Launch::new(kernel, &[elements as u32, width, scale], threads(elements)));
    }))
}
