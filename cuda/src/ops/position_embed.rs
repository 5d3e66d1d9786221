use super::Lower;
use super::lower::code;
use crate::program::{Launches, THREADS, threads, word};
use monolens_graph::{BackendError, Lowering, Node, ops::PositionEmbed};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &PositionEmbed) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("position_embed", "position_embed")?;
    let (result, x) = (cx.result(node)?, cx.place(node.inputs[0]));
    let weight = cx.weight(op.table)?;
    let class_type = op.class.map_or(Ok(weight.format), |id| cx.weight(id).map(|w| w.format))?;
    let (table, class) = (cx.weight_place(op.table)?, cx.optional_place(op.class)?);
    let shape = cx.shape(node.output.unwrap_or(node.inputs[0])).clone();
    let (width, stride) = (word(weight.inner), word(weight.stride));
    let (dtype, class_type) = (code(weight.format), code(class_type));
    Ok(Box::new(move |run, out| {
        let (elements, rows) = (shape.elements(run.axes), shape.0[1].size(run.axes));
        let arguments = [
            run.at(&result),
            run.at(&x),
            run.at(&table),
            run.at(&class),
            word(elements),
            width,
            word(rows),
            stride,
            dtype,
            class_type,
        ];
        out.launch(kernel, threads(elements), THREADS, &arguments);
    }))
}
