use super::Lower;
use crate::program::{Launch, Launches, threads};
use monolens_graph::ops::{PixelShuffle, TokenOrder};
use monolens_graph::{BackendError, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &PixelShuffle) -> Result<Launches, BackendError> {
    let places = vec![cx.result(node)?, cx.place(node.inputs[0])];
    let kernel = cx.kernel("pixel_shuffle", &[], places, &[0]);
    let shape = cx.shape(node.output.unwrap_or(node.inputs[0])).clone();
    let width = cx.width(node.inputs[0]) as u32;
    let (side, scale) = (op.side as u32, op.scale as u32);
    let (skip, columns) = (u32::from(op.skip_class), u32::from(op.order == TokenOrder::ColumnMajor));
    Ok(Box::new(move |axes, out| {
        let elements = shape.elements(axes);
        let words = [elements as u32, side, scale, width, skip, columns];
        out.push(Launch::new(kernel, &words, threads(elements)));
    }))
}
