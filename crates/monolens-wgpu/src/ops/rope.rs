use super::Lower;
use crate::program::{Launch, Launches, Place, spread, threads};
use monolens_graph::ops::{QkvLayout, Rope};
use monolens_graph::{Axis, BackendError, DType, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &Rope) -> Result<Launches, BackendError> {
    let qkv = cx.place(node.inputs[0]);
    rotate(cx, node, op, qkv)
}

/// The same from qkv rows anywhere; the other inputs are the node's.
pub(super) fn rotate(
    cx: &mut Lower<'_>,
    node: &Node,
    op: &Rope,
    qkv: Place,
) -> Result<Launches, BackendError> {
    let [_, rows, rope, k, v] = node.inputs[..5] else {
        return Err(cx.error(node, "five inputs are needed"));
    };
    let kv = cx.kv_dtype(node, k, v)?;
    let places = vec![cx.result(node)?, qkv, Place::Tables, cx.place(k), cx.place(v)];
    let eight = kv == DType::I8;
    let kernel = cx.kernel("rope", &[if eight { "i8" } else { "" }], places, &[0, 3, 4]);
    let (row_info, rope) = (cx.table(node, rows)?, cx.table(node, rope)?);
    let (heads, concatenated) = (op.heads, u32::from(op.layout == QkvLayout::Concatenated));
    Ok(Box::new(move |axes, out| {
        // A workgroup a head, or a thread a pair.
        let width = axes.get(Axis::Rows) * heads.qkv_width();
        let (count, grid) = match eight {
            true => (width / heads.size, spread(width / heads.size)),
            false => (width / 2, threads(width / 2)),
        };
        let words = [
            count as u32,
            heads.query as u32,
            heads.kv as u32,
            heads.size as u32,
            concatenated,
            u32::from(kv == DType::BF16),
            row_info,
            rope,
        ];
        out.push(Launch::new(kernel, &words, grid));
    }))
}
