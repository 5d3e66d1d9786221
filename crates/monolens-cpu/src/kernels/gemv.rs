//! Products of a few rows with a weight, reading the weight once.

use super::{View, dot};
use crate::Isa;

/// Rows that one pass over a weight serves.
pub const ROWS: usize = 4;

/// `out[r, n] = Σ x[r, k]·w[n, k]`: `x` has rows of `inner` elements, `w` too, `out` rows of as many as `w` has rows.
/// `scratch` has the length of `x`.
///
/// # Panics
/// When the lengths do not fit.
pub fn gemv(isa: Isa, x: &[f32], w: View<'_>, inner: usize, out: &mut [f32], scratch: &mut [f32]) {
    let columns = w.len() / inner;
    let rows = x.len() / inner;
    assert_eq!(out.len(), rows * columns, "an element a row and column");
    assert_eq!(scratch.len(), x.len(), "as much scratch as rows");
    #[cfg(target_arch = "x86_64")]
    if let (View::BF16(w), crate::isa::Level::Avx512 | crate::isa::Level::Avx512Bf16) = (w, isa.0) {
        for (i, x) in x.chunks(ROWS * inner).enumerate() {
            let scratch = &mut scratch[i * ROWS * inner..][..x.len()];
            let out = &mut out[i * ROWS * columns..];
            // SAFETY: an `Isa` is only made on a machine that has it.
            unsafe {
                match x.len() / inner {
                    1 => x86::rows::<1>(x, w, inner, out, scratch),
                    2 => x86::rows::<2>(x, w, inner, out, scratch),
                    3 => x86::rows::<3>(x, w, inner, out, scratch),
                    _ => x86::rows::<ROWS>(x, w, inner, out, scratch),
                }
            }
        }
        return;
    }
    for n in 0..columns {
        let w = w.part(n * inner, (n + 1) * inner);
        for (r, x) in x.chunks_exact(inner).enumerate() {
            out[r * columns + n] = dot(isa, x, w);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use half::bf16;
    use std::arch::x86_64::*;

    /// Weight rows that go along at once where there are several rows of `x`, so that these are loaded less often.
    const AT_ONCE: usize = 4;

    /// `R` rows of `x`. A vector of 32 weights is two of floats, the even and the odd ones, by one shift and one mask;
    /// `x` is laid out alike in `scratch`.
    ///
    /// # Safety
    /// The machine has AVX-512.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    pub(super) unsafe fn rows<const R: usize>(
        x: &[f32],
        w: &[bf16],
        inner: usize,
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        let columns = w.len() / inner;
        assert!(x.len() == R * inner && scratch.len() == x.len() && out.len() >= R * columns);
        let whole = inner / 32 * 32;
        for (x, to) in x.chunks_exact(inner).zip(scratch.chunks_exact_mut(inner)) {
            for (x, to) in x.chunks_exact(32).zip(to.chunks_exact_mut(32)) {
                for i in 0..16 {
                    (to[i], to[16 + i]) = (x[2 * i], x[2 * i + 1]);
                }
            }
        }
        let mut n = 0;
        while n < columns {
            let left = if R == 1 { 1 } else { columns - n };
            // SAFETY: rows n.. of w, and all of scratch, lie within their slices; the caller promises the instructions.
            let (sums, here) = unsafe {
                let (x, w) = (scratch.as_ptr(), w.as_ptr().add(n * inner));
                if left >= AT_ONCE {
                    (tile::<R, AT_ONCE>(x, w, inner, whole), AT_ONCE)
                } else {
                    let [sums] = tile::<R, 1>(x, w, inner, whole);
                    ([sums; AT_ONCE], 1)
                }
            };
            for (i, sums) in sums.iter().enumerate().take(here) {
                let w = &w[(n + i) * inner..][..inner];
                for (r, sum) in sums.iter().enumerate() {
                    let x = &x[r * inner..][..inner];
                    let rest = x[whole..].iter().zip(&w[whole..]).map(|(x, w)| x * w.to_f32());
                    out[r * columns + n + i] = sum + rest.sum::<f32>();
                }
            }
            n += here;
        }
    }

    /// `R` rows by `N` weight rows, up to element `whole`.
    ///
    /// One weight row is left to the hardware's look-ahead, which does best with a single stream. With several, the next
    /// `N` rows are asked for in order of their addresses, into the second cache: streams a page apart would push one
    /// another out of the first.
    ///
    /// # Safety
    /// `x` has R rows and `w` N rows of `inner` elements; the machine has AVX-512.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    #[allow(clippy::needless_range_loop, reason = "indices of registers, all loops unroll")]
    unsafe fn tile<const R: usize, const N: usize>(
        x: *const f32,
        w: *const bf16,
        inner: usize,
        whole: usize,
    ) -> [[f32; R]; N] {
        let odd = _mm512_set1_epi32(0xffff_0000_u32 as i32);
        // Even and odd weights have sums of their own where there are registers for them.
        let mut sums = [[[_mm512_setzero_ps(); 2]; R]; N];
        for k in (0..whole).step_by(32) {
            for n in 0..N {
                // SAFETY: k + 32 <= whole <= inner; a prefetch may name any address.
                unsafe {
                    if N > 1 {
                        _mm_prefetch::<_MM_HINT_T1>(w.wrapping_add(N * inner + N * k + 32 * n).cast());
                    }
                    let pairs = _mm512_loadu_si512(w.add(n * inner + k).cast());
                    let low = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs));
                    let high = _mm512_castsi512_ps(_mm512_and_si512(pairs, odd));
                    for r in 0..R {
                        let x = x.add(r * inner + k);
                        let other = usize::from(N * R <= 8);
                        sums[n][r][0] = _mm512_fmadd_ps(_mm512_loadu_ps(x), low, sums[n][r][0]);
                        sums[n][r][other] =
                            _mm512_fmadd_ps(_mm512_loadu_ps(x.add(16)), high, sums[n][r][other]);
                    }
                }
            }
        }
        sums.map(|rows| rows.map(|[a, b]| _mm512_reduce_add_ps(_mm512_add_ps(a, b))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn every_instruction_set_gives_the_products_of_rows() {
        for (rows, columns, inner) in
            [(1, 1, 1), (1, 7, 64), (2, 5, 33), (3, 9, 96), (4, 4, 31), (5, 13, 130), (9, 6, 257)]
        {
            let number = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 50.0;
            let x: Vec<f32> = (0..rows * inner).map(number).collect();
            let w: Vec<bf16> = (0..columns * inner).map(|i| bf16::from_f32(number(i + 5))).collect();
            let wide: Vec<f32> = w.iter().map(|w| w.to_f32()).collect();
            let halves: Vec<f16> = wide.iter().map(|&w| f16::from_f32(w)).collect();
            for isa in Isa::available() {
                for view in [View::BF16(&w), View::F32(&wide), View::F16(&halves)] {
                    let mut out = vec![f32::NAN; rows * columns];
                    gemv(isa, &x, view, inner, &mut out, &mut vec![0.0; x.len()]);
                    for (i, got) in out.iter().enumerate() {
                        let (r, n) = (i / columns, i % columns);
                        let pairs = x[r * inner..][..inner].iter().zip(&wide[n * inner..]);
                        let want: f64 = pairs.map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
                        assert!(
                            (f64::from(*got) - want).abs() < 1e-3,
                            "{isa:?} {rows} {columns} {inner}: {got} {want}"
                        );
                    }
                }
            }
        }
    }
}
