use super::Lower;
use super::product::{Factor, Plain};
use super::project::Projection;
use crate::program::{Launches, Place, word};
use monolens_graph::ops::{Linear, Residual};
use monolens_graph::{BackendError, Lowering, Node, Shape};

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
    let matrices = op.matrices();
    cx.same_format(&matrices)?;
    let weight = cx.weight(matrices[0])?;
    let mut own = Vec::new();
    for expert in op.weight.both() {
        own.push(cx.optional_place(expert.weight())?);
    }
    for bias in op.bias.map_or([None; 2], |b| b.both().map(Some)) {
        own.push(cx.optional_place(bias)?);
    }
    let scale = match op.residual {
        Residual::Scaled(scale) => cx.weight_place(scale)?,
        _ => Place::None,
    };
    let residual = if op.residual == Residual::None { Place::None } else { cx.place(node.inputs[1]) };
    let routing = if op.is_routed() { cx.place(node.inputs[node.inputs.len() - 1]) } else { Place::None };
    let (width, gelu) = (weight.rows, usize::from(op.gelu));
    // What else is fused would be a pass of its own over the result.
    let is_bare = !op.is_routed() && !op.gelu && matches!(scale, Place::None) && op.identities() == 0;
    let plain = (is_bare && cx.is_plain(weight, &shape, op.bias.is_some())).then(|| {
        let [weight, bias] = [own[0].clone(), own[2].clone()];
        Plain {
            factors: vec![Factor { weight, bias, added: residual.clone(), result: result.clone() }],
            then: None,
        }
    });
    Projection {
        file: "linear",
        weight,
        pairs: width / TILE * (TILE / 2) + (width % TILE).min(TILE / 2),
        x,
        shape,
        norm: op.norm,
        routing,
        identity: op.identities(),
        plain,
        own: Box::new(move |run, out| {
            out.push(run.at(&result));
            out.extend(own.iter().chain([&scale, &residual]).map(|place| run.at(place)));
            out.extend([word(width), word(gelu)]);
        }),
    }
    .lower(cx)
}
