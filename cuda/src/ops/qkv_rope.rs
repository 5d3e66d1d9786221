use super::Lower;
use super::product::{Factor, Plain};
use super::project::Projection;
use super::rope::{self, Rotation};
use crate::program::{Launches, Place};
use monolens_graph::{BackendError, Lowering, Node, WeightId, ops::QkvRope};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &QkvRope) -> Result<Launches, BackendError> {
    let ids: Vec<WeightId> = op.weight.iter().copied().collect();
    cx.same_format(&ids)?;
    let weight = cx.weight(op.weight.text)?;
    let rotation = Rotation::new(cx, node, &op.heads, op.layout)?;
    let mut places = Vec::new();
    for id in op.weight.both().map(Some).into_iter().chain(op.bias.map_or([None; 2], |b| b.both().map(Some)))
    {
        places.push(cx.optional_place(id)?);
    }
    let shape = cx.shape(node.inputs[0]).clone();
    let plain = if !op.is_routed() && cx.is_plain(weight, &shape, op.bias.is_some()) {
        let qkv = cx.scratch(shape.rows(&cx.plan().limits) * op.heads.qkv_width() * 4);
        let [weight, bias] = [places[0].clone(), places[2].clone()];
        let factors = vec![Factor { weight, bias, added: Place::None, result: qkv.clone() }];
        Some(Plain { factors, then: Some(rope::launches(cx, node, &op.heads, op.layout, qkv)?) })
    } else {
        None
    };
    Projection {
        file: "qkv_rope",
        weight,
        pairs: op.heads.qkv_width() / 2,
        x: cx.place(node.inputs[0]),
        shape,
        norm: op.norm,
        routing: if op.is_routed() { cx.place(node.inputs[5]) } else { Place::None },
        identity: 0,
        plain,
        own: Box::new(move |run, out| {
            out.extend(rotation.arguments(run));
            out.extend(places.iter().map(|place| run.at(place)));
        }),
    }
    .lower(cx)
}
