use super::Lower;
use crate::program::{Launch, Launches, Place, threads};
use crate::weights::{EIGHT, Matrix, code};
use monolens_graph::{BackendError, Lowering, Node, WeightFormat, ops::PositionEmbed};

fn whole<'m>(cx: &Lower<'_>, node: &Node, matrix: &'m Matrix) -> Result<&'m wgpu::Buffer, BackendError> {
    match &matrix.parts[..] {
        _ if matches!(matrix.format, WeightFormat::Grouped(_)) => {
            Err(cx.error(node, "its table must be of floats"))
        }
        [part] => Ok(&part.buffer),
        _ => Err(cx.error(node, "its table is larger than the device can bind")),
    }
}

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &PositionEmbed) -> Result<Launches, BackendError> {
    let table = cx.matrix(node, op.table)?;
    let class = op.class.map(|id| cx.matrix(node, id)).transpose()?.unwrap_or(table);
    let places = vec![
        cx.result(node)?,
        cx.place(node.inputs[0]),
        Place::Buffer(whole(cx, node, table)?.clone()),
        Place::Buffer(whole(cx, node, class)?.clone()),
    ];
    let kernel = cx.kernel("position_embed", &[], places, &[0]);
    let shape = cx.shape(node.output.unwrap_or(node.inputs[0])).clone();
    let (width, stride) = (table.inner as u32, (table.eights * EIGHT) as u32);
    let (dtype, class_dtype, has_class) =
        (code(table.format), code(class.format), u32::from(op.class.is_some()));
    Ok(Box::new(move |axes, out| {
        let (elements, sizes) = (shape.elements(axes), shape.sizes(axes));
        let words = [elements as u32, width, sizes[1] as u32, stride, dtype, class_dtype, has_class];
        out.push(Launch::new(kernel, &words, threads(elements)));
    }))
}
