use super::Lower;
use crate::program::{Launch, Launches, Place, pieces};
use monolens_graph::{BackendError, Lowering, Node, ops::QkNorm};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &QkNorm) -> Result<Launches, BackendError> {
    let places = vec![cx.result(node)?, cx.place(node.inputs[0]), Place::Vectors];
    let kernel = cx.kernel("qk_norm", &[], places, &[0]);
    let shape = cx.shape(node.inputs[0]).clone();
    let width = cx.width(node.inputs[0]) as u32 / 3;
    let (q, k, eps) = (cx.vector(node, op.q)?, cx.vector(node, op.k)?, op.eps.to_bits());
    Ok(Box::new(move |axes, out| {
        for (first, rows) in pieces(shape.rows(axes)) {
            out.push(Launch::new(kernel, &[width, q, k, eps, first], [rows, 3, 1]));
        }
    }))
}
