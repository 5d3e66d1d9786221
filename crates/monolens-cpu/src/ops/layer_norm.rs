//! `y = (x − mean) / sqrt(var + eps) ∘ weight + bias`.

use super::rms_norm::sum;
use crate::frame::Frame;
use monolens_graph::ops::LayerNorm;

pub(super) fn run(op: &LayerNorm, frame: &Frame<'_>, out: &mut [f32]) {
    let (x, width) = (frame.f32s(0), frame.width(0));
    let (weight, bias) = (frame.vector(op.weight), frame.vector(op.bias));
    frame.product.pool.rows(out, width, |row, out| {
        let x = &x[row * width..(row + 1) * width];
        let mean = sum(x, |x| x) / width as f32;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / width as f32;
        let scale = 1.0 / (variance + op.eps).sqrt();
        for (i, x) in x.iter().enumerate() {
            out[i] = (x - mean) * scale * weight[i] + bias[i];
        }
    });
}
