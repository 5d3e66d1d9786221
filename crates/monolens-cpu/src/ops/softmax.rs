//! Softmax of a row of scores.

use crate::Isa;
use crate::kernels::exponentials;

/// The larger of two; a NaN if there is one.
pub(super) fn more(a: f32, b: f32) -> f32 {
    if a >= b || a.is_nan() { a } else { b }
}

/// The largest of a row; a NaN if there is one. Sixteen side by side, which compilers turn into vectors.
pub(super) fn largest(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut most = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for (a, &b) in most.iter_mut().zip(chunk) {
            *a = more(*a, b);
        }
    }
    most.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, more)
}

/// Replaces scores by their softmax.
pub(super) fn softmax(isa: Isa, scores: &mut [f32]) {
    let sum = exponentials(isa, scores, largest(scores));
    scores.iter_mut().for_each(|s| *s /= sum);
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_is_found_in_every_place_and_a_nan_wins() {
        for n in [1, 15, 16, 17, 40] {
            for at in 0..n {
                let mut x: Vec<f32> = (0..n).map(|i| -(i as f32) - 1.0).collect();
                x[at] = 3.0;
                assert_eq!(largest(&x), 3.0, "{n} {at}");
                x[at] = f32::NAN;
                assert!(largest(&x).is_nan(), "{n} {at}");
            }
        }
        assert_eq!(largest(&[]), f32::NEG_INFINITY);
    }
}
