//! Rows as integers of 16 bits with a factor.

use super::Layout;
use super::many::LANES;
use monolens_graph::Bits;

/// The largest integer that an element becomes.
const LARGEST: f32 = 32767.0;
/// Lanes of 16 bits in a vector.
const LANES_16: usize = 16;
/// Lanes of 32 bits in a vector.
const LANES_32: usize = 8;

/// Elements of a row that a vector of stored integers holds.
pub(super) fn vector_len(bits: Bits) -> usize {
    LANES_16 * 16 / bits.count()
}

/// Elements that share a sum in `few`: a unit, or a vector where that is longer.
pub(super) fn sum_len(layout: Layout) -> usize {
    layout.unit.max(vector_len(layout.bits))
}

/// Words of a row for `few`.
pub(super) fn streamed_len(layout: Layout) -> usize {
    (layout.inner / 2 + layout.inner.div_ceil(sum_len(layout)) * LANES_32 + 1).next_multiple_of(16)
}

/// The factor that makes integers up to `largest` of a row; none when it has something that is not finite.
#[inline(always)]
pub(super) fn factor(x: &[f32], largest: f32) -> Option<f32> {
    let mut most = [0_u32; 16];
    let (chunks, rest) = x.as_chunks::<16>();
    // Without the sign, floats are ordered as their bits are; what is not finite is above all that is.
    for x in chunks {
        for (most, x) in most.iter_mut().zip(x) {
            *most = (*most).max(x.to_bits() & 0x7fff_ffff);
        }
    }
    let most = rest.iter().map(|x| x.to_bits() & 0x7fff_ffff).chain(most).max().unwrap_or(0);
    let most = f32::from_bits(most);
    // The least factor whose reciprocal is finite.
    most.is_finite().then_some((most / largest).max(1e-36))
}

/// The nearest integer to `x` times the inverse of the factor.
#[inline(always)]
pub(super) fn integer(x: f32, inverse: f32) -> i32 {
    // SAFETY: no element is beyond the largest by more than rounding, and none is NaN.
    unsafe { (x * inverse).round_ties_even().to_int_unchecked() }
}

/// A row for `few`: for each sum, the vectors of its elements in the order in which shifts bring the weight's forth, and
/// what its eight lanes begin with, which takes the offset of the stored integers away; then the factor.
pub(super) fn streamed(x: &[f32], layout: Layout, out: &mut [u32]) -> bool {
    #[target_feature(enable = "avx2")]
    fn avx2<const PER: usize>(x: &[f32], layout: Layout, out: &mut [u32]) -> bool {
        let Some(factor) = factor(x, LARGEST) else { return false };
        let inverse = 1.0 / factor;
        let (body, last) = out.split_at_mut(streamed_len(layout) - 1);
        last[0] = factor.to_bits();
        let len = sum_len(layout);
        let offset = layout.bits.offset();
        for (x, out) in x.chunks_exact(len).zip(body.chunks_exact_mut(len / 2 + LANES_32)) {
            let (first, vectors) = out.split_at_mut(LANES_32);
            let vectors: &mut [i16] = bytemuck::cast_slice_mut(vectors);
            let mut sums = [0_i32; LANES_16];
            for (x, out) in x.chunks_exact(LANES_16 * PER).zip(vectors.chunks_exact_mut(LANES_16 * PER)) {
                for lane in 0..LANES_16 {
                    for s in 0..PER {
                        let q = integer(x[lane * PER + s], inverse);
                        out[s * LANES_16 + lane] = q as i16;
                        sums[lane] += q;
                    }
                }
            }
            for (first, sums) in first.iter_mut().zip(sums.as_chunks::<2>().0) {
                *first = (-offset * (sums[0] + sums[1])) as u32;
            }
        }
        true
    }
    // SAFETY: only called on machines that have AVX2.
    unsafe {
        match layout.bits {
            Bits::Four => avx2::<4>(x, layout, out),
            Bits::Eight => avx2::<2>(x, layout, out),
        }
    }
}

/// Up to [`LANES`] rows for `many`: the pairs of all rows, one after the other; then the factors.
pub(super) fn packed(x: &[f32], inner: usize, out: &mut [u32]) -> bool {
    #[target_feature(enable = "avx2")]
    fn avx2(x: &[f32], inner: usize, out: &mut [u32]) -> bool {
        let (pairs, factors) = out.split_at_mut(inner / 2 * LANES);
        let mut inverse = [0.0; LANES];
        factors.fill(0);
        for ((x, to), inverse) in x.chunks_exact(inner).zip(&mut *factors).zip(&mut inverse) {
            let Some(factor) = factor(x, LARGEST) else { return false };
            (*to, *inverse) = (factor.to_bits(), 1.0 / factor);
        }
        let mut block = [[0_u32; LANES]; LANES];
        for (i, out) in pairs.chunks_mut(LANES * LANES).enumerate() {
            for ((x, pairs), &inverse) in x.chunks_exact(inner).zip(&mut block).zip(&inverse) {
                for (x, pair) in x[2 * LANES * i..].as_chunks::<2>().0.iter().zip(pairs) {
                    let [a, b] = x.map(|x| integer(x, inverse) as u32);
                    *pair = (a & 0xffff) | b << 16;
                }
            }
            for (i, out) in out.chunks_exact_mut(LANES).enumerate() {
                for (to, pairs) in out.iter_mut().zip(&block) {
                    *to = pairs[i];
                }
            }
        }
        true
    }
    // SAFETY: only called on machines that have AVX2.
    unsafe { avx2(x, inner, out) }
}
