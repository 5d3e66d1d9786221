use super::Lower;
use super::project::Projection;
use crate::program::{Launches, Place, word};
use monolens_graph::ops::{Linear, Residual};
use monolens_graph::{BackendError, Expert, Node, Shape, WeightId};

/// Columns of a tile, as in `linear.cu`: a pair is two columns half a tile apart.
const TILE: usize = 128;

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &Linear) -> Result<Launches, BackendError> {
    let (result, x) = (cx.result(node)?, cx.place(node.inputs[0]));
    let shape = cx.shape(node.inputs[0]).clone();
    project(cx, node, op, (x, shape), result)
}

/// The same from any rows to any place.
pub(super) fn project(
    cx: &mut Lower<'_>,
    node: &Node,
    op: &Linear,
    (x, shape): (Place, Shape),
    result: Place,
) -> Result<Launches, BackendError> {
    let ids: Vec<WeightId> = op.weight.iter().filter_map(|e| e.weight()).collect();
    cx.same_dtype(&ids)?;
    let weight = cx.weight(ids[0])?;
    // A routed bias with one weight: both modalities share the expert.
    let experts = [op.weight.text, op.weight.visual.unwrap_or(op.weight.text)];
    let bit = |at: usize| u32::from(experts[at] == Expert::Identity) << at;
    let mut weights = [Place::None, Place::None];
    for (place, expert) in weights.iter_mut().zip(experts) {
        *place = cx.optional_place(expert.weight())?;
    }
    let mut bias = [Place::None, Place::None];
    if let Some(ids) = op.bias {
        bias = [cx.weight_place(ids.text)?, cx.weight_place(ids.visual.unwrap_or(ids.text))?];
    }
    let scale = match op.residual {
        Residual::Scaled(scale) => cx.weight_place(scale)?,
        _ => Place::None,
    };
    let residual = if op.residual == Residual::None { Place::None } else { cx.place(node.inputs[1]) };
    let routing = if op.is_routed() { cx.place(node.inputs[node.inputs.len() - 1]) } else { Place::None };
    let (width, gelu) = (weight.rows, usize::from(op.gelu));
    let own = [weights, bias].concat();
    Projection {
        file: "linear",
        weight,
        pairs: width / TILE * (TILE / 2) + (width % TILE).min(TILE / 2),
        x,
        shape,
        norm: op.norm,
        routing,
        identity: bit(0) | bit(1),
        own: Box::new(move |run, out| {
            out.push(run.at(&result));
            out.extend(own.iter().chain([&scale, &residual]).map(|place| run.at(place)));
            out.extend([word(width), word(gelu)]);
        }),
    }
    .lower(cx)
}
