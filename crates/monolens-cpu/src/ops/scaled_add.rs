//! `y = a + scale ∘ b`.

use crate::frame::Frame;
use monolens_graph::ops::ScaledAdd;

pub(super) fn run(op: &ScaledAdd, frame: &Frame<'_>, out: &mut [f32]) {
    let (a, b, width) = (frame.f32s(0), frame.f32s(1), frame.width(0));
    let scale = frame.vector(op.scale);
    frame.product.pool.rows(out, width, |row, out| {
        let part = row * width..(row + 1) * width;
        for (i, (a, b)) in a[part.clone()].iter().zip(&b[part]).enumerate() {
            out[i] = a + scale[i] * b;
        }
    });
}
