//! Products of several rows, but few, with bf16 weights by pairs (AVX512-BF16): each weight goes from memory through registers once.
//!
//! Rows are rounded to bf16, as those of a prompt are ([`super::tiles`]). A vector of weights then is one load and one
//! instruction a row, where widening to f32 takes six: more of the weight is under way from memory at a time.

use super::View;
use super::matmul::Job;
use half::bf16;
use std::arch::x86_64::*;

/// Rows of `x` at once.
const ROWS: usize = 4;
/// Weight rows at once where there are several rows of `x`.
const AT_ONCE: usize = 4;
/// Elements of a vector.
const ELEMENTS: usize = 32;

impl Job<'_> {
    /// The whole product.
    ///
    /// # Safety
    /// The machine has AVX512-BF16. (Weights that are not bf16 are left out: there are none.)
    pub(super) unsafe fn few_pairs(&self) {
        let stride = self.inner.next_multiple_of(ELEMENTS) / 2;
        let mut buffer = self.product.pool.take_packed();
        buffer.clear();
        for x in self.x.chunks_exact(self.inner) {
            for part in x.chunks(ELEMENTS) {
                let mut whole = [0.0; ELEMENTS];
                whole[..part.len()].copy_from_slice(part);
                // SAFETY: the caller promises the instructions.
                buffer.extend(unsafe { super::tiles::round(&whole) });
            }
        }
        self.panels(0, |results, _, from, to| {
            for (result, w) in results.chunks_exact_mut(self.rows * (to - from)).zip(self.weights) {
                let View::BF16(w) = w.part(from * self.inner, to * self.inner) else { continue };
                let pieces = buffer.chunks(ROWS * stride).zip(result.chunks_mut(ROWS * (to - from)));
                for (x, out) in pieces {
                    // SAFETY: as above; `x` has whole rows of `stride` pairs.
                    unsafe {
                        match x.len() / stride {
                            1 => columns::<1>(x, w, self.inner, out),
                            2 => columns::<2>(x, w, self.inner, out),
                            3 => columns::<3>(x, w, self.inner, out),
                            _ => columns::<ROWS>(x, w, self.inner, out),
                        }
                    }
                }
            }
        });
        self.product.pool.put_packed(buffer);
    }
}

/// `R` rows of pairs times the rows of `w`; `out` has an element a row and column.
///
/// # Safety
/// The machine has AVX512-BF16.
///
/// # Panics
/// When the lengths do not fit.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
unsafe fn columns<const R: usize>(x: &[u32], w: &[bf16], inner: usize, out: &mut [f32]) {
    let width = w.len() / inner;
    assert!(x.len() == R * inner.next_multiple_of(ELEMENTS) / 2 && out.len() == R * width, "whole rows");
    let mut n = 0;
    while n < width {
        // SAFETY: rows n.. of `w` are there, and all of `x`; the caller promises the instructions.
        let (sums, here) = unsafe {
            if R > 1 && width - n >= AT_ONCE {
                (tile::<R, AT_ONCE>(x, &w[n * inner..], inner), AT_ONCE)
            } else if width - n >= 2 {
                let [a, b] = tile::<R, 2>(x, &w[n * inner..], inner);
                ([a, b, a, b], 2)
            } else {
                let [sums] = tile::<R, 1>(x, &w[n * inner..], inner);
                ([sums; AT_ONCE], 1)
            }
        };
        for (i, sums) in sums.iter().enumerate().take(here) {
            for (r, sum) in sums.iter().enumerate() {
                out[r * width + n + i] = *sum;
            }
        }
        n += here;
    }
}

/// `R` rows by the first `N` rows of `w`. With several rows the next `N` weight rows are asked for in the order of their
/// addresses, as in `gemv`; one is left to the hardware's look-ahead.
///
/// # Safety
/// The machine has AVX512-BF16; `x` has `R` rows and `w` at least `N`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
#[allow(clippy::needless_range_loop, reason = "indices of registers, all loops unroll")]
unsafe fn tile<const R: usize, const N: usize>(x: &[u32], w: &[bf16], inner: usize) -> [[f32; R]; N] {
    let (whole, rest) = (inner / ELEMENTS, inner % ELEMENTS);
    let (stride, mask) = (inner.next_multiple_of(ELEMENTS) / 2, (1_u32 << rest) - 1);
    // Neighbouring vectors have sums of their own where there are registers for them.
    let mut sums = [[[_mm512_setzero_ps(); 2]; R]; N];
    let (x, first) = (x.as_ptr(), w.as_ptr());
    // SAFETY: all reads are inside what the caller promises, those of the rest by mask; a prefetch may name any address.
    unsafe {
        let product = |sum: __m512, weights: __m512i, r: usize, block: usize| {
            let x = _mm512_loadu_si512(x.add(r * stride + block * ELEMENTS / 2).cast());
            let pairs = |v: __m512i| std::mem::transmute::<__m512i, __m512bh>(v);
            _mm512_dpbf16_ps(sum, pairs(weights), pairs(x))
        };
        for two in 0..whole / 2 {
            for s in 0..2 {
                let block = 2 * two + s;
                for n in 0..N {
                    if R > 1 && N > 1 {
                        let next = first.wrapping_add(N * inner + ELEMENTS * (N * block + n));
                        _mm_prefetch::<_MM_HINT_T1>(next.cast());
                    }
                    let weights = _mm512_loadu_si512(first.add(n * inner + block * ELEMENTS).cast());
                    for r in 0..R {
                        let sum = &mut sums[n][r][if N * R <= 8 { s } else { 0 }];
                        *sum = product(*sum, weights, r, block);
                    }
                }
            }
        }
        for block in whole / 2 * 2..whole + usize::from(rest > 0) {
            let mask = if block < whole { u32::MAX } else { mask };
            for n in 0..N {
                let weights = _mm512_maskz_loadu_epi16(mask, first.add(n * inner + block * ELEMENTS).cast());
                for r in 0..R {
                    sums[n][r][0] = product(sums[n][r][0], weights, r, block);
                }
            }
        }
    }
    sums.map(|rows| rows.map(|[a, b]| _mm512_reduce_add_ps(_mm512_add_ps(a, b))))
}
