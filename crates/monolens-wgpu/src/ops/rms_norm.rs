use super::Lower;
use crate::program::{Launch, Launches, Place, spread};
use monolens_graph::{BackendError, Lowering, Node, ops::RmsNorm};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &RmsNorm) -> Result<Launches, BackendError> {
    let places = vec![cx.result(node)?, cx.place(node.inputs[0]), Place::Vectors];
    let kernel = cx.kernel("rms_norm", &[], places, &[0]);
    let shape = cx.shape(node.inputs[0]).clone();
    let (width, weight, eps) = (cx.width(node.inputs[0]) as u32, cx.vector(node, op.weight)?, op.eps);
    Ok(Box::new(move |axes, out| {
        let rows = shape.rows(axes);
        out.push(Launch::new(kernel, &[rows as u32, width, weight, eps.to_bits()], spread(rows)));
    }))
}
