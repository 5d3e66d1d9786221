//! Few rows: the weight as it is stored passes up to four rows at once.
//!
//! Each lane of 16 bits holds neighbouring integers, four of 4 bits or two of 8: a shift and a mask bring one of each
//! lane forth, without its sign, and rows are laid out alike.

use super::Layout;
use super::round::{sum_len, vector_len};
use crate::kernels::GroupedView;
use monolens_graph::Bits;
use std::arch::x86_64::*;

/// Rows at once.
const ROWS: usize = 4;

/// Whether rows of the weight are whole sums of whole groups.
pub(super) fn takes(layout: Layout) -> bool {
    let len = sum_len(layout);
    layout.inner.is_multiple_of(len) && (layout.group.is_multiple_of(len) || halves(layout))
}

/// Whether a vector holds two groups.
fn halves(layout: Layout) -> bool {
    2 * layout.group == vector_len(layout.bits)
}

/// Rows that `round::streamed` made, `stride` words each, times those of `w`; `out` has an element a row and column.
///
/// # Safety
/// The machine has AVX2.
///
/// # Panics
/// When the lengths do not fit.
pub(super) unsafe fn rows(x: &[u32], stride: usize, w: GroupedView<'_>, layout: Layout, out: &mut [f32]) {
    let columns = w.len() / layout.inner;
    assert!(takes(layout) && w.bits == layout.bits && w.group == layout.group, "the layout of the weight");
    assert!(stride >= super::round::streamed_len(layout), "whole rows");
    assert_eq!(out.len(), x.len() / stride * columns, "an element a row and column");
    for (x, out) in x.chunks(ROWS * stride).zip(out.chunks_mut(ROWS * columns)) {
        // SAFETY: the caller promises the instructions, the rest has just been asserted.
        unsafe {
            match (layout.bits, halves(layout)) {
                (Bits::Four, false) => by_count::<4, false>(x, stride, w, layout, out),
                (Bits::Four, true) => by_count::<4, true>(x, stride, w, layout, out),
                (Bits::Eight, _) => by_count::<8, false>(x, stride, w, layout, out),
            }
        }
    }
}

unsafe fn by_count<const BITS: usize, const HALVES: bool>(
    x: &[u32],
    stride: usize,
    w: GroupedView<'_>,
    layout: Layout,
    out: &mut [f32],
) {
    // SAFETY: as the caller promises.
    unsafe {
        match x.len() / stride {
            1 => columns::<BITS, HALVES, 1>(x, stride, w, layout, out),
            2 => columns::<BITS, HALVES, 2>(x, stride, w, layout, out),
            3 => columns::<BITS, HALVES, 3>(x, stride, w, layout, out),
            _ => columns::<BITS, HALVES, ROWS>(x, stride, w, layout, out),
        }
    }
}

/// # Safety
/// The machine has AVX2, `x` has `R` rows, and `w` whole rows of the layout.
#[target_feature(enable = "avx2,fma")]
unsafe fn columns<const BITS: usize, const HALVES: bool, const R: usize>(
    x: &[u32],
    stride: usize,
    w: GroupedView<'_>,
    layout: Layout,
    out: &mut [f32],
) {
    let (columns, groups) = (w.len() / layout.inner, layout.inner / layout.group);
    let last = super::round::streamed_len(layout) - 1;
    let factors: [f32; R] = std::array::from_fn(|r| f32::from_bits(x[r * stride + last]));
    for n in 0..columns {
        // SAFETY: row n of the weight is there, and so are all rows of x.
        let sums = unsafe {
            let words = w.words.as_ptr().add(n * layout.inner * BITS / 32);
            column::<BITS, HALVES, R>(x.as_ptr(), stride, words, w.scales.as_ptr().add(n * groups), layout)
        };
        for r in 0..R {
            out[r * columns + n] = sums[r] * factors[r];
        }
    }
}

/// One row of the weight.
///
/// # Safety
/// As [`columns`]; `words` and `scales` begin a row.
#[inline]
#[target_feature(enable = "avx2,fma")]
#[allow(clippy::needless_range_loop, reason = "indices of registers, all loops unroll")]
unsafe fn column<const BITS: usize, const HALVES: bool, const R: usize>(
    x: *const u32,
    stride: usize,
    words: *const u32,
    scales: *const f32,
    layout: Layout,
) -> [f32; R] {
    let len = sum_len(layout);
    let vectors = len * BITS / 256;
    let (groups, sums_a_group) = match HALVES {
        true => (layout.inner / len, 1),
        false => (layout.inner / layout.group, layout.group / len),
    };
    let mut totals = [_mm256_setzero_ps(); R];
    let (mut x, mut words) = (x, words);
    for group in 0..groups {
        // SAFETY: all reads are inside the rows that the caller promises.
        unsafe {
            let scale = match HALVES {
                true => {
                    let [a, b] = scales.add(2 * group).cast::<[f32; 2]>().read();
                    _mm256_set_m128(_mm_set1_ps(b), _mm_set1_ps(a))
                }
                false => _mm256_set1_ps(*scales.add(group)),
            };
            for _ in 0..sums_a_group {
                let mut sums = [[_mm256_setzero_si256(); 2]; R];
                for r in 0..R {
                    sums[r][0] = _mm256_loadu_si256(x.add(r * stride).cast());
                }
                x = x.add(8);
                for _ in 0..vectors {
                    let stored = _mm256_loadu_si256(words.cast());
                    words = words.add(8);
                    for s in 0..16 / BITS {
                        let q = pick::<BITS>(stored, s);
                        for r in 0..R {
                            let x = _mm256_loadu_si256(x.add(r * stride).cast());
                            // One row alone waits for its sums: it has two.
                            let sum = &mut sums[r][if R == 1 { s % 2 } else { 0 }];
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(q, x));
                        }
                        x = x.add(8);
                    }
                }
                for r in 0..R {
                    let [a, b] = sums[r];
                    let sum = if R == 1 { _mm256_add_epi32(a, b) } else { a };
                    totals[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, totals[r]);
                }
            }
        }
    }
    totals.map(|total| {
        let half = _mm_add_ps(_mm256_castps256_ps128(total), _mm256_extractf128_ps::<1>(total));
        let two = _mm_add_ps(half, _mm_movehl_ps(half, half));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    })
}

/// Integer `s` of each lane of 16 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn pick<const BITS: usize>(stored: __m256i, s: usize) -> __m256i {
    let mask = _mm256_set1_epi16((1 << BITS) - 1);
    match (BITS, s) {
        (_, 0) => _mm256_and_si256(stored, mask),
        (4, 1) => _mm256_and_si256(_mm256_srli_epi16::<4>(stored), mask),
        (4, 2) => _mm256_and_si256(_mm256_srli_epi16::<8>(stored), mask),
        (4, _) => _mm256_srli_epi16::<12>(stored),
        _ => _mm256_srli_epi16::<8>(stored),
    }
}
