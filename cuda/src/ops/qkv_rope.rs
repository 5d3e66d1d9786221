use super::Lower;
use super::project::Projection;
use super::rope::Rotation;
use crate::program::{Launches, Place};
use monolens_graph::{BackendError, Node, WeightId, ops::QkvRope};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &QkvRope) -> Result<Launches, BackendError> {
    let ids: Vec<WeightId> = op.weight.iter().copied().collect();
    cx.same_dtype(&ids)?;
    let weight = cx.weight(op.weight.text)?;
    let rotation = Rotation::new(cx, node, &op.heads, op.layout)?;
    let bias = op.bias.map(|b| [b.text, b.visual.unwrap_or(b.text)]);
    let places = [
        cx.weight_place(op.weight.text)?,
        cx.weight_place(op.weight.visual.unwrap_or(op.weight.text))?,
        cx.optional_place(bias.map(|b| b[0]))?,
        cx.optional_place(bias.map(|b| b[1]))?,
    ];
    Projection {
        file: "qkv_rope",
        weight,
        pairs: op.heads.qkv_width() / 2,
        x: cx.place(node.inputs[0]),
        shape: cx.shape(node.inputs[0]).clone(),
        norm: op.norm,
        routing: if op.is_routed() { cx.place(node.inputs[5]) } else { Place::None },
        identity: 0,
        own: Box::new(move |run, out| {
            out.extend(rotation.arguments(run));
            out.extend(places.iter().map(|place| run.at(place)));
        }),
    }
    .lower(cx)
}
