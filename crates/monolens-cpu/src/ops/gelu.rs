//! `y = x/2 · (1 + erf(x/√2))`.

use crate::frame::Frame;
use std::f32::consts::FRAC_1_SQRT_2;

/// Exact GELU of one number.
pub fn gelu(x: f32) -> f32 {
    // erfc keeps the small values of the negative side exact.
    0.5 * x * libm::erfcf(-x * FRAC_1_SQRT_2)
}

pub(super) fn run(frame: &Frame<'_>, out: &mut [f32]) {
    let (x, width) = (frame.f32s(0), frame.width(0));
    frame.product.pool.rows(out, width, |row, out| {
        for (y, &x) in out.iter_mut().zip(&x[row * width..]) {
            *y = gelu(x);
        }
    });
}
