//! Few rows on CPUs with AVX-512 VNNI: rows of 16-bit integers as two bytes each, `256·high + low`, times the weight's bytes
//! or half bytes as they are stored.
//!
//! Four products of bytes are added in one instruction, so that a vector of 64 bytes of the weight takes two (8 bits) or four
//! (4 bits) of them and no widening. The stored integers are without sign; what their offset adds is taken away at the end,
//! group by group. Against the kernel for AVX2 (`few`), which multiplies 16 bits by 16: see docs/benchmarks.md.

use super::Layout;
use super::round::{factor, integer};
use crate::kernels::GroupedView;
use monolens_graph::Bits;
use std::arch::x86_64::*;

/// Elements whose sum stays an integer.
const SPAN: usize = 128;
/// Bytes, and elements of `x`, of a vector.
const BYTES: usize = 64;
/// Lanes of a vector.
const LANES: usize = 16;
/// Words of a span of `x`: two vectors of high bytes, two of low ones.
const SPAN_WORDS: usize = 4 * LANES;
/// Rows of `x` at once.
const ROWS: usize = 4;
/// Bytes that are asked for ahead in each stream of weights.
const AHEAD: usize = 2048;
/// `256·127 + 127`: the largest integer with a high byte.
const LARGEST: f32 = 32639.0;

/// Whether rows of the weight are whole spans, each of one group or of whole groups.
pub(super) fn takes(layout: Layout) -> bool {
    let small = layout.bits == Bits::Four && [SPAN / 2, SPAN / 4].contains(&layout.group);
    layout.inner.is_multiple_of(SPAN) && (layout.group.is_multiple_of(SPAN) || small)
}

/// Words of a row that [`round`] makes.
pub(super) fn row_len(layout: Layout) -> usize {
    (layout.inner / 2 + layout.inner / layout.group + 1).next_multiple_of(LANES)
}

/// A row: the vectors of each span in the order in which the weight's come; minus the offset times the sum of each group, as
/// f32; then the factor. False when something is not finite.
pub(super) fn round(x: &[f32], layout: Layout, out: &mut [u32]) -> bool {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
    fn avx512(x: &[f32], layout: Layout, out: &mut [u32]) -> bool {
        let Some(factor) = factor(x, LARGEST) else { return false };
        let inverse = 1.0 / factor;
        let (body, rest) = out.split_at_mut(layout.inner / 2);
        let groups = layout.inner / layout.group;
        rest[groups] = factor.to_bits();
        let mut sums = [0_i64; SPAN / 32];
        for (at, (x, out)) in
            x.as_chunks::<SPAN>().0.iter().zip(body.chunks_exact_mut(SPAN_WORDS)).enumerate()
        {
            let q = x.map(|x| integer(x, inverse));
            let out: &mut [i8] = bytemuck::cast_slice_mut(out);
            let (high, low) = out.split_at_mut(2 * BYTES);
            for i in 0..2 * BYTES {
                let q = q[match layout.bits {
                    // Half bytes: first the lower of all bytes, then the upper.
                    Bits::Four => 2 * (i % BYTES) + i / BYTES,
                    Bits::Eight => i,
                }];
                low[i] = q as i8;
                high[i] = ((q - i32::from(low[i])) >> 8) as i8;
            }
            let per_span = (SPAN / layout.group).max(1);
            for (sum, q) in sums.iter_mut().zip(q.chunks_exact(SPAN / per_span)) {
                *sum += q.iter().map(|&q| i64::from(q)).sum::<i64>();
            }
            let end = (at + 1) * SPAN;
            if end.is_multiple_of(layout.group) {
                for (to, sum) in rest[end / layout.group - per_span..].iter_mut().zip(&mut sums[..per_span]) {
                    let bias = -i64::from(layout.bits.offset()) * std::mem::take(sum);
                    *to = (bias as f32).to_bits();
                }
            }
        }
        true
    }
    // SAFETY: only called on machines that have it.
    unsafe { avx512(x, layout, out) }
}

/// Rows that [`round`] made, `stride` words each, times those of `w`; `out` has an element a row and column.
///
/// # Safety
/// The machine has AVX-512 with VNNI.
///
/// # Panics
/// When the lengths do not fit.
pub(super) unsafe fn rows(x: &[u32], stride: usize, w: GroupedView<'_>, layout: Layout, out: &mut [f32]) {
    let columns = w.len() / layout.inner;
    assert!(takes(layout) && w.bits == layout.bits && w.group == layout.group, "the layout of the weight");
    assert!(stride >= row_len(layout), "whole rows");
    assert_eq!(out.len(), x.len() / stride * columns, "an element a row and column");
    for (x, out) in x.chunks(ROWS * stride).zip(out.chunks_mut(ROWS * columns)) {
        let job = Few { x, stride, w, layout, columns };
        // SAFETY: the caller promises the instructions, the rest has just been asserted.
        unsafe {
            match (layout.bits, SPAN / layout.group) {
                (Bits::Four, 4) => job.by_count::<4, 4>(out),
                (Bits::Four, 2) => job.by_count::<4, 2>(out),
                (Bits::Four, _) => job.by_count::<4, 1>(out),
                (Bits::Eight, _) => job.by_count::<8, 1>(out),
            }
        }
    }
}

/// Up to [`ROWS`] rows and a weight.
#[derive(Clone, Copy)]
struct Few<'a> {
    x: &'a [u32],
    stride: usize,
    w: GroupedView<'a>,
    layout: Layout,
    columns: usize,
}

impl Few<'_> {
    unsafe fn by_count<const BITS: usize, const GROUPS: usize>(self, out: &mut [f32]) {
        // SAFETY: as the caller promises.
        unsafe {
            match self.x.len() / self.stride {
                1 => self.columns::<BITS, GROUPS, 1, 4>(out),
                2 => self.columns::<BITS, GROUPS, 2, 4>(out),
                3 => self.columns::<BITS, GROUPS, 3, 2>(out),
                _ => self.columns::<BITS, GROUPS, ROWS, 2>(out),
            }
        }
    }

    /// `R` rows; `N` rows of the weight share each load of them, each a stream through another part of it, as in `gemv`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn columns<const BITS: usize, const GROUPS: usize, const R: usize, const N: usize>(
        self,
        out: &mut [f32],
    ) {
        let apart = self.columns / N;
        for n in 0..apart {
            // SAFETY: these rows of the weight are there, and so are all rows of x.
            let sums = unsafe { self.tile::<BITS, GROUPS, R, N>(n, apart) };
            for (i, sums) in sums.iter().enumerate() {
                for (r, &sum) in sums.iter().enumerate() {
                    out[r * self.columns + n + i * apart] = sum;
                }
            }
        }
        for n in N * apart..self.columns {
            // SAFETY: as above.
            let [sums] = unsafe { self.tile::<BITS, GROUPS, R, 1>(n, 0) };
            for (r, &sum) in sums.iter().enumerate() {
                out[r * self.columns + n] = sum;
            }
        }
    }

    /// `R` rows by `N` rows of the weight, the first and so many `apart`; a span has elements of `GROUPS` groups.
    ///
    /// # Safety
    /// The machine has AVX-512 with VNNI; `x` has `R` rows, the weight those rows.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    #[allow(clippy::needless_range_loop, reason = "indices of registers, all loops unroll")]
    unsafe fn tile<const BITS: usize, const GROUPS: usize, const R: usize, const N: usize>(
        self,
        row: usize,
        apart: usize,
    ) -> [[f32; R]; N] {
        let Self { x, stride, w, layout, .. } = self;
        let (spans, groups) = (layout.inner / SPAN, layout.inner / layout.group);
        let span_bytes = SPAN * BITS / 8;
        let at = |n: usize| row + n * apart;
        let stored: [*const u8; N] =
            std::array::from_fn(|n| w.words.as_ptr().cast::<u8>().wrapping_add(at(n) * spans * span_bytes));
        let scales: [*const f32; N] = std::array::from_fn(|n| w.scales.as_ptr().wrapping_add(at(n) * groups));
        let spans_a_group = (layout.group / SPAN).max(1);
        let mut totals = [[_mm512_setzero_ps(); R]; N];
        // SAFETY: all reads are inside the rows that the caller promises; a prefetch may name any address.
        unsafe {
            for span in 0..spans {
                let mut units = [[_mm512_setzero_si512(); 2]; N];
                let mut factors = [_mm512_setzero_ps(); N];
                for n in 0..N {
                    let from = stored[n].add(span * span_bytes);
                    for line in 0..span_bytes / BYTES {
                        _mm_prefetch::<_MM_HINT_T1>(from.wrapping_add(AHEAD + line * BYTES).cast());
                    }
                    units[n] = unpack::<BITS>(from);
                    factors[n] = match GROUPS {
                        1 => _mm512_set1_ps(*scales[n].add(span / spans_a_group)),
                        _ => spread::<GROUPS>(scales[n].add(span * GROUPS)),
                    };
                }
                for r in 0..R {
                    let x = x.as_ptr().add(r * stride + span * SPAN_WORDS);
                    let x: [__m512i; 4] =
                        std::array::from_fn(|i| _mm512_loadu_si512(x.add(i * LANES).cast()));
                    for n in 0..N {
                        let [a, b] = units[n];
                        let high = _mm512_dpbusd_epi32(_mm512_setzero_si512(), a, x[0]);
                        let high = _mm512_slli_epi32::<8>(_mm512_dpbusd_epi32(high, b, x[1]));
                        let sum = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(high, a, x[2]), b, x[3]);
                        totals[n][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), factors[n], totals[n][r]);
                    }
                }
            }
            let mut sums = [[0.0; R]; N];
            for r in 0..R {
                let biases = x.as_ptr().add(r * stride + layout.inner / 2).cast::<f32>();
                let factor = *biases.add(groups);
                for n in 0..N {
                    let mut total = totals[n][r];
                    for from in (0..groups).step_by(LANES) {
                        let mask = (1_u32 << (groups - from).min(LANES)).wrapping_sub(1) as u16;
                        let scales = _mm512_maskz_loadu_ps(mask, scales[n].add(from));
                        let biases = _mm512_maskz_loadu_ps(mask, biases.add(from));
                        total = _mm512_fmadd_ps(scales, biases, total);
                    }
                    sums[n][r] = factor * _mm512_reduce_add_ps(total);
                }
            }
            sums
        }
    }
}

/// A span of stored integers, each in a byte.
///
/// # Safety
/// The machine has AVX-512; a span can be read.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn unpack<const BITS: usize>(from: *const u8) -> [__m512i; 2] {
    // SAFETY: as the caller promises.
    unsafe {
        let first = _mm512_loadu_si512(from.cast());
        if BITS == 8 {
            return [first, _mm512_loadu_si512(from.add(BYTES).cast())];
        }
        let mask = _mm512_set1_epi8(0x0f);
        [_mm512_and_si512(first, mask), _mm512_and_si512(_mm512_srli_epi16::<4>(first), mask)]
    }
}

/// The factors of `GROUPS` groups, each in the lanes of its elements.
///
/// # Safety
/// The machine has AVX-512; so many factors can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn spread<const GROUPS: usize>(from: *const f32) -> __m512 {
    let lane_of = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    // SAFETY: as the caller promises.
    unsafe {
        let factors = _mm512_maskz_loadu_ps(((1_u32 << GROUPS) - 1) as u16, from);
        let group = match GROUPS {
            4 => _mm512_srli_epi32::<2>(lane_of),
            _ => _mm512_srli_epi32::<3>(lane_of),
        };
        _mm512_permutexvar_ps(group, factors)
    }
}
