//! Softmax of a row of scores.

use crate::Isa;
use crate::kernels::exponentials;

/// The largest of a row; a NaN if there is one.
pub(super) fn largest(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, |a, b| if a >= b || a.is_nan() { a } else { b })
}

/// Replaces scores by their softmax.
pub(super) fn softmax(isa: Isa, scores: &mut [f32]) {
    let sum = exponentials(isa, scores, largest(scores));
    scores.iter_mut().for_each(|s| *s /= sum);
}
