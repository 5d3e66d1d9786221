//! `y = x / sqrt(mean(x²) + eps) ∘ weight`.

use crate::frame::Frame;
use monolens_graph::ops::RmsNorm;

/// The sum of `f` over `x` in sixteen partial sums, which compilers turn into vectors.
pub(super) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut sums = [0.0_f32; 16];
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f(x);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

/// The norm of one row.
pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean = sum(x, |x| x * x) / x.len() as f32;
    let scale = 1.0 / (mean + eps).sqrt();
    for (y, (x, w)) in out.iter_mut().zip(x.iter().zip(weight)) {
        *y = x * scale * w;
    }
}

pub(super) fn run(op: &RmsNorm, frame: &Frame<'_>, out: &mut [f32]) {
    let (x, width) = (frame.f32s(0), frame.width(0));
    let weight = frame.vector(op.weight);
    frame.product.pool.rows(out, width, |row, out| {
        rms_norm(&x[row * width..(row + 1) * width], weight, op.eps, out);
    });
}
