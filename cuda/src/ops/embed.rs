use super::Lower;
use super::lower::{code, groups};
use crate::program::{Launches, Place, THREADS, threads, word};
use monolens_graph::{Axis, BackendError, DType, Lowering, Node, ops::Embed};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &Embed) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("embed", "embed")?;
    let (visual_rows, visual) = match node.inputs[..] {
        [_, rows, state] => {
            if cx.state_dtype(node, state)? != DType::F32 {
                return Err(cx.error(node, "its state must be f32"));
            }
            (cx.place(rows), cx.place(state))
        }
        _ => (Place::None, Place::None),
    };
    let (result, rows) = (cx.result(node)?, cx.place(node.inputs[0]));
    let (weight, table) = (cx.weight(op.table)?, cx.weight_place(op.table)?);
    let (width, stride, dtype) = (weight.inner, word(weight.stride), code(weight.format));
    let [group, scales, scale_type] = groups(weight);
    Ok(Box::new(move |run, out| {
        let elements = run.axes.get(Axis::Rows) * width;
        let arguments = [
            run.at(&result),
            run.at(&table),
            run.at(&rows),
            run.at(&visual_rows),
            run.at(&visual),
            word(elements),
            word(width),
            stride,
            dtype,
            group,
            scales,
            scale_type,
        ];
        out.launch(kernel, threads(elements), THREADS, &arguments);
    }))
}
