//! Rotates queries and keys and writes keys and values into the paged KV pool.

use crate::frame::Frame;
use crate::state::States;
use monolens_graph::BackendError;
use monolens_graph::batch::RowInfo;
use monolens_graph::ops::{Heads, QkvLayout, Rope};

/// What [`Rope`] and the fused `qkv_rope` share.
pub(super) struct Rotation<'a> {
    pub(super) heads: Heads,
    pub(super) layout: QkvLayout,
    pub(super) infos: &'a [RowInfo],
    /// d/2 cosines, then d/2 sines for each row.
    pub(super) angles: &'a [f32],
}

/// `(a·cos − b·sin, b·cos + a·sin)` for the pairs (e, e + d/2) of a head.
fn rotate(x: &[f32], angles: &[f32], out: &mut [f32]) {
    let half = x.len() / 2;
    let (cos, sin) = angles.split_at(half);
    for e in 0..half {
        let (a, b) = (x[e], x[e + half]);
        out[e] = a * cos[e] - b * sin[e];
        out[e + half] = b * cos[e] + a * sin[e];
    }
}

/// Rotates the rows `qkv`; `[k, v]` are the inputs that are the states.
pub(super) fn rope(
    frame: &Frame<'_>,
    rotation: &Rotation<'_>,
    qkv: &[f32],
    states: &mut States,
    [k, v]: [usize; 2],
    out: &mut [f32],
) -> Result<(), BackendError> {
    let Rotation { heads, layout, infos, angles } = rotation;
    let (d, width) = (heads.size, heads.qkv_width());
    frame.product.pool.rows(out, heads.query_width(), |row, out| {
        let (qkv, angles) = (&qkv[row * width..][..width], &angles[row * d..][..d]);
        for (head, out) in out.chunks_exact_mut(d).enumerate() {
            rotate(&qkv[layout.query(heads, head)..][..d], angles, out);
        }
    });
    let (Some(k), Some(v)) = (frame.state_at(k), frame.state_at(v)) else { return Ok(()) };
    let [keys, values] = states.pair_mut(k, v)?;
    let mut key = vec![0.0; d];
    for (row, info) in infos.iter().enumerate() {
        let (qkv, angles) = (&qkv[row * width..][..width], &angles[row * d..][..d]);
        for head in 0..heads.kv {
            rotate(&qkv[layout.key(heads, head)..][..d], angles, &mut key);
            keys.write_head(heads, info.kv_slot as usize, head, &key);
            values.write_head(heads, info.kv_slot as usize, head, &qkv[layout.value(heads, head)..][..d]);
        }
    }
    Ok(())
}

pub(super) fn run(
    op: &Rope,
    frame: &Frame<'_>,
    states: &mut States,
    out: &mut [f32],
) -> Result<(), BackendError> {
    let rotation =
        Rotation { heads: op.heads, layout: op.layout, infos: frame.row_infos(1), angles: frame.f32s(2) };
    rope(frame, &rotation, frame.f32s(0), states, [3, 4], out)
}
