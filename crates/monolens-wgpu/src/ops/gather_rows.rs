use super::Lower;
use crate::program::{Launch, Launches, Place, threads};
use monolens_graph::{Axis, BackendError, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    let places = vec![cx.result(node)?, cx.place(node.inputs[0]), Place::Tables];
    let kernel = cx.kernel("gather_rows", &[], places, &[0]);
    let (width, chosen) = (cx.width(node.inputs[0]), cx.table(node, node.inputs[1])?);
    Ok(Box::new(move |axes, out| {
        let elements = axes.get(Axis::Samples) * width;
        out.push(Launch::new(kernel, &[elements as u32, width as u32, chosen], threads(elements)));
    }))
}
