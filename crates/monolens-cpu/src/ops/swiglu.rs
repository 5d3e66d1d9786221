//! `y = silu(gate) ∘ up`.

use crate::frame::Frame;

/// `t / (1 + e^−t) · up`.
pub(super) fn swiglu(gate: f32, up: f32) -> f32 {
    gate / (1.0 + (-gate).exp()) * up
}

pub(super) fn run(frame: &Frame<'_>, out: &mut [f32]) {
    let (gate, up, width) = (frame.f32s(0), frame.f32s(1), frame.width(0));
    frame.product.pool.rows(out, width, |row, out| {
        let part = row * width..(row + 1) * width;
        for (y, (&g, &u)) in out.iter_mut().zip(gate[part.clone()].iter().zip(&up[part])) {
            *y = swiglu(g, u);
        }
    });
}
