use super::Lower;
use super::project::Projection;
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
    Projection {
        file: "gate_up",
        weight,
        pairs: width,
        x: cx.place(node.inputs[0]),
        shape: cx.shape(node.inputs[0]).clone(),
        norm: op.norm,
        routing: if op.is_routed() { cx.place(node.inputs[1]) } else { Place::None },
        identity: 0,
        own: Box::new(move |run, out| {
            out.extend(places.iter().map(|place| run.at(place)));
            out.push(word(width));
        }),
    }
    .lower(cx)
}
