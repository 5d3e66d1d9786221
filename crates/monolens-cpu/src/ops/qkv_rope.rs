//! RMSNorm, qkv projection, RoPE and KV write in one.

use super::linear::{Rows, each_modality};
use super::rope::{Rotation, rope};
use crate::frame::{Frame, Work, at_least};
use crate::kernels::{SharedRows, matmul};
use crate::state::States;
use monolens_graph::BackendError;
use monolens_graph::ops::QkvRope;

pub(super) fn run(
    op: &QkvRope,
    frame: &Frame<'_>,
    states: &mut States,
    work: &mut Work,
    out: &mut [f32],
) -> Result<(), BackendError> {
    let (x, width, columns) = (frame.f32s(0), frame.width(0), op.heads.qkv_width());
    let infos = frame.row_infos(1);
    let qkv = at_least(&mut work.wide, infos.len() * columns);
    let routing = op.is_routed().then(|| frame.u32s(5));
    let norm = frame.norm(op.norm);
    let shared = SharedRows::new(qkv, columns);
    each_modality(routing, &mut work.index, |modality, index| {
        let rows = Rows { x, width, index };
        let bias = op.bias.map(|bias| frame.vector(modality.of(&bias)));
        let packed = rows.packed(frame.product.pool, norm, &mut work.rows);
        let weight = frame.weight(modality.of(&op.weight));
        matmul(frame.product, packed, width, &[weight], &|i, from, parts| {
            // SAFETY: each element is handed out once, and rows of an index are distinct.
            let out = unsafe { shared.part(rows.number(i), from, parts[0].len()) };
            out.copy_from_slice(parts[0]);
            if let Some(bias) = bias {
                out.iter_mut().zip(&bias[from..]).for_each(|(y, b)| *y += b);
            }
        });
    });
    let rotation = Rotation { heads: op.heads, layout: op.layout, infos, angles: frame.f32s(2) };
    rope(frame, &rotation, qkv, states, [3, 4], out)
}
