use super::Lower;
use super::lower::NONE;
use crate::program::{Launch, Launches, Place, threads};
use crate::weights::{EIGHT, code};
use monolens_graph::{Axis, BackendError, DType, Lowering, Node, ops::Embed};

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
        let kernel = cx.kernel("embed", &[], places, &[0]);
        parts.push((kernel, part.first as u32, part.rows as u32, table.scales(part.rows)));
    }
    let (width, stride, dtype) = (table.inner, (table.eights * EIGHT) as u32, code(table.format));
    Ok(Box::new(move |axes, out| {
        let elements = axes.get(Axis::Rows) * width;
        for &(kernel, first, count, [group, _, scales, scale_type]) in &parts {
            let [elements_word, width] = [elements as u32, width as u32];
            let words = [
                elements_word,
                width,
                stride,
                dtype,
                first,
                count,
                row_info,
                visual_rows,
                group,
                scales,
                scale_type,
            ];
            out.push(Launch::new(kernel, &words, threads(elements)));
        }
    }))
}
