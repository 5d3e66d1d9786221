//! Softmax of a row of scores, whole or piece by piece.

/// The largest of a row.
pub(super) fn largest(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, |a, b| if b > a || b.is_nan() { b } else { a })
}

/// Replaces scores by `e^(score − most)` and gives their sum.
pub(super) fn exponentials(scores: &mut [f32], most: f32) -> f32 {
    let mut sum = 0.0;
    for s in scores {
        *s = (*s - most).exp();
        sum += *s;
    }
    sum
}

/// Replaces scores by their softmax.
pub(super) fn softmax(scores: &mut [f32]) {
    let sum = exponentials(scores, largest(scores));
    scores.iter_mut().for_each(|s| *s /= sum);
}
