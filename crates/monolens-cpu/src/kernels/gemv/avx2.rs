//! The product of up to four rows with a bf16 weight for AVX2: each weight is widened once for all of them.

use half::bf16;
use std::arch::x86_64::*;

/// Elements of a step: two vectors of f32.
const STEP: usize = 16;

/// `R` rows of `x` times `columns` rows of `w`.
///
/// # Safety
/// The machine has AVX2 and FMA; `w` has `columns` rows of `inner` elements.
///
/// # Panics
/// When `x` or `out` has another length.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn rows<const R: usize>(
    x: &[f32],
    w: &[bf16],
    inner: usize,
    columns: usize,
    out: &mut [f32],
) {
    assert!(x.len() == R * inner && out.len() >= R * columns && w.len() >= columns * inner);
    let whole = inner / STEP * STEP;
    for (n, w) in w.chunks_exact(inner).take(columns).enumerate() {
        let mut sums = [[_mm256_setzero_ps(); 2]; R];
        for k in (0..whole).step_by(STEP) {
            // SAFETY: k + STEP <= inner, the length of w and of each row of x.
            unsafe {
                let stored = w.as_ptr().add(k).cast::<__m128i>();
                let widen = |v| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(v)));
                let weights = [widen(_mm_loadu_si128(stored)), widen(_mm_loadu_si128(stored.add(1)))];
                for (r, sums) in sums.iter_mut().enumerate() {
                    for (half, sum) in sums.iter_mut().enumerate() {
                        let x = _mm256_loadu_ps(x.as_ptr().add(r * inner + k + 8 * half));
                        *sum = _mm256_fmadd_ps(x, weights[half], *sum);
                    }
                }
            }
        }
        for (r, [a, b]) in sums.into_iter().enumerate() {
            let x = &x[r * inner..][..inner];
            let rest = x[whole..].iter().zip(&w[whole..]).map(|(&x, w)| x * w.to_f32());
            out[r * columns + n] = sum(_mm256_add_ps(a, b)) + rest.sum::<f32>();
        }
    }
}

/// The sum of all lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn sum(v: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let two = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}
