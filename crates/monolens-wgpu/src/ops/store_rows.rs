use super::Lower;
use crate::program::{Launch, Launches, Place, threads};
use monolens_graph::{Axis, BackendError, DType, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    if cx.state_dtype(node, node.inputs[2])? != DType::F32 {
        return Err(cx.error(node, "its state must be f32"));
    }
    let places = vec![cx.place(node.inputs[2]), cx.place(node.inputs[0]), Place::Tables];
    let kernel = cx.kernel("store_rows", &[], places, &[0]);
    let (shape, slots) = (cx.shape(node.inputs[0]).clone(), cx.table(node, node.inputs[1])?);
    let width = cx.width(node.inputs[0]) as u32;
    Ok(Box::new(move |axes, out| {
        let elements = shape.elements(axes);
        let tile = elements / axes.get(Axis::Tiles).max(1);
        out.push(Launch::new(kernel, &[elements as u32, tile as u32, width, slots], threads(elements)));
    }))
}
