//! Products of a few rows with a weight, reading the weight once.

use super::{View, dot};
use crate::Isa;

/// `out[r, n] = Σ x[r, k]·w[n, k]`: `x` has rows of `inner` elements, `w` too, `out` rows of as many as `w` has rows.
///
/// # Panics
/// When the lengths do not fit.
pub fn gemv(isa: Isa, x: &[f32], w: View<'_>, inner: usize, out: &mut [f32]) {
    let columns = w.len() / inner;
    let rows = x.len() / inner;
    assert_eq!(out.len(), rows * columns, "an element a row and column");
    for n in 0..columns {
        let w = w.part(n * inner, (n + 1) * inner);
        for (r, x) in x.chunks_exact(inner).enumerate() {
            out[r * columns + n] = dot(isa, x, w);
        }
    }
}
