//! RMSNorm of the queries and of the keys in [q | k | v] rows.

use super::rms_norm::rms_norm;
use crate::frame::Frame;
use monolens_graph::ops::QkNorm;

pub(super) fn run(op: &QkNorm, frame: &Frame<'_>, out: &mut [f32]) {
    let (x, width) = (frame.f32s(0), frame.width(0));
    let (q, k) = (frame.vector(op.q), frame.vector(op.k));
    let part = width / 3;
    frame.product.pool.rows(out, width, |row, out| {
        let x = &x[row * width..(row + 1) * width];
        rms_norm(&x[..part], q, op.eps, &mut out[..part]);
        rms_norm(&x[part..2 * part], k, op.eps, &mut out[part..2 * part]);
        out[2 * part..].copy_from_slice(&x[2 * part..]);
    });
}
