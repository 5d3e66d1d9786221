use super::Lower;
use super::project::{Params, Projection};
use crate::program::Launches;
use monolens_graph::{BackendError, Lowering, Node, WeightId, ops::GateUp};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &GateUp) -> Result<Launches, BackendError> {
    let weights: Vec<WeightId> = op.gate.iter().chain(op.up.iter()).copied().collect();
    cx.same_format(&weights)?;
    let [gate, up] = [op.gate, op.up].map(|experts| experts.both());
    let (text, visual) = (cx.matrix(node, gate[0])?, cx.matrix(node, gate[1])?);
    let (text_up, visual_up) = (cx.matrix(node, up[0])?, cx.matrix(node, up[1])?);
    let width = text.parts.iter().map(|p| p.rows).sum();
    let mut params = Params::new(text, width);
    params.norm(cx, node, op.norm.as_ref())?;
    if op.is_routed() {
        params.routing = cx.table(node, node.inputs[1])?;
    }
    Ok(Projection {
        file: "gate_up",
        params,
        shape: cx.shape(node.inputs[0]).clone(),
        routed: op.is_routed(),
        text,
        visual,
        up: Some([text_up, visual_up]),
        result: cx.result(node)?,
        x: cx.place(node.inputs[0]),
        more: Vec::new(),
        written: &[0],
    }
    .lower(cx))
}
