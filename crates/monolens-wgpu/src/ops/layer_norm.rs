use super::Lower;
use crate::program::{Launch, Launches, Place, spread};
use monolens_graph::{BackendError, Lowering, Node, ops::LayerNorm};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &LayerNorm) -> Result<Launches, BackendError> {
    let places = vec![cx.result(node)?, cx.place(node.inputs[0]), Place::Vectors];
    let kernel = cx.kernel("layer_norm", &[], places, &[0]);
    let shape = cx.shape(node.inputs[0]).clone();
    let width = cx.width(node.inputs[0]) as u32;
    let (weight, bias, eps) = (cx.vector(node, op.weight)?, cx.vector(node, op.bias)?, op.eps.to_bits());
    Ok(Box::new(move |axes, out| {
        let rows = shape.rows(axes);
        out.push(Launch::new(kernel, &[rows as u32, width, weight, bias, eps], spread(rows)));
    }))
}
