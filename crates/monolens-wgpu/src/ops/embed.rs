use super::Lower;
use super::lower::NONE;
use super::position_embed::code;
use crate::program::{Launch, Launches, Place, threads};
use crate::weights::CHUNK;
use monolens_graph::{Axis, BackendError, DType, Node, ops::Embed};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &Embed) -> Result<Launches, BackendError> {
    let table = cx.matrix(node, op.table)?;
    let row_info = cx.table(node, node.inputs[0])?;
    let (visual_rows, visual) = match node.inputs[..] {
        [_, rows, state] => {
            if cx.state_dtype(node, state)? != DType::F32 {
                return Err(cx.error(node, "its state must be f32"));
            }
            (cx.table(node, rows)?, cx.place(state))
        }
        _ => (NONE, Place::Vectors),
    };
    let mut parts = Vec::new();
    for part in &table.parts {
        let places =
            vec![cx.result(node)?, Place::Tables, Place::Buffer(part.buffer.clone()), visual.clone()];
        parts.push((cx.kernel("embed", &[], places, &[0]), part.first as u32, part.rows as u32));
    }
    let (width, stride, dtype) = (table.inner, (table.chunks * CHUNK) as u32, code(table.dtype));
    Ok(Box::new(move |axes, out| {
        let elements = axes.get(Axis::Rows) * width;
        for &(kernel, first, count) in &parts {
            let words = [elements as u32, width as u32, stride, dtype, first, count, row_info, visual_rows];
            out.push(Launch::new(kernel, &words, threads(elements)));
        }
    }))
}
