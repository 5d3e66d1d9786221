use super::Lower;
use super::product::{Factor, Plain};
use super::project::Projection;
use super::swiglu;
use crate::program::{Launches, Place, word};
use monolens_graph::{BackendError, Lowering, Node, WeightId, ops::GateUp};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &GateUp) -> Result<Launches, BackendError> {
    let ids: Vec<WeightId> = op.gate.iter().chain(op.up.iter()).copied().collect();
    cx.same_format(&ids)?;
    let weight = cx.weight(op.gate.text)?;
    let mut places = vec![cx.result(node)?];
    for experts in [&op.gate, &op.up] {
        for id in experts.both() {
            places.push(cx.weight_place(id)?);
        }
    }
    let width = weight.rows;
    let shape = cx.shape(node.inputs[0]).clone();
    let plain = if !op.is_routed() && cx.is_plain(weight, &shape, false) {
        let made = shape.with_width(width);
        // The gates lie where the result will: one array less.
        let (gate, up) = (places[0].clone(), cx.scratch(made.elements(&cx.plan().limits) * 4));
        let factor = |weight: &Place, result: &Place| {
            let [weight, result] = [weight, result].map(Place::clone);
            Factor { weight, bias: Place::None, added: Place::None, result }
        };
        let factors = vec![factor(&places[1], &gate), factor(&places[3], &up)];
        Some(Plain { factors, then: Some(swiglu::launches(cx, [gate.clone(), gate, up], made)?) })
    } else {
        None
    };
    Projection {
        file: "gate_up",
        weight,
        pairs: width,
        x: cx.place(node.inputs[0]),
        shape,
        norm: op.norm,
        routing: if op.is_routed() { cx.place(node.inputs[1]) } else { Place::None },
        identity: 0,
        plain,
        own: Box::new(move |run, out| {
            out.extend(places.iter().map(|place| run.at(place)));
            out.push(word(width));
        }),
    }
    .lower(cx)
}
