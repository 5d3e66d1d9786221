//! Many rows: the lanes of a vector are eight rows of `x`, packed once a product as pairs; a pair of neighbouring weights,
//! unpacked to 16 bits, is broadcast to all lanes. A tile is up to 16 rows by 4 columns.

use super::Layout;
use crate::kernels::GroupedView;
use crate::kernels::matmul::PANEL;
use monolens_graph::Bits;
use std::arch::x86_64::*;

/// Rows in a vector.
pub(super) const LANES: usize = 8;
/// Columns in a tile.
pub(super) const COLUMNS: usize = 4;
/// Vectors of rows in a tile.
const VECTORS: usize = 2;
/// Elements along the inner dimension that are unpacked at once, a multiple of every unit: a tile's rows fit into the
/// first-level cache, the weights of a panel into the second.
const INNER: usize = 512;
/// Blocks of rows whose sums stay in the second-level cache: 512 rows.
const BLOCKS: usize = 64;

/// Words of a block of rows.
pub(super) fn packed_len(inner: usize) -> usize {
    (inner / 2 * LANES + LANES).next_multiple_of(16)
}

/// Floats that a panel needs beside its results.
pub(super) fn scratch_len(blocks: usize) -> usize {
    PANEL * INNER / 2 + BLOCKS.min(blocks) * LANES * PANEL
}

/// Rows that `round::packed` made, times those of `w`; `out` has rows of an element a column.
///
/// # Safety
/// The machine has AVX2.
///
/// # Panics
/// When the lengths do not fit.
pub(super) unsafe fn panel(
    x: &[u32],
    w: GroupedView<'_>,
    layout: Layout,
    scratch: &mut [f32],
    out: &mut [f32],
) {
    let (inner, unit) = (layout.inner, layout.unit);
    let columns = w.len() / inner;
    let stride = packed_len(inner);
    assert!(columns <= PANEL && w.bits == layout.bits && w.group == layout.group, "a panel of the layout");
    assert!(inner.is_multiple_of(unit) && layout.group.is_multiple_of(unit) && INNER.is_multiple_of(unit));
    let (unpacked, sums) = scratch.split_at_mut(PANEL * INNER / 2);
    let unpacked: &mut [i16] = bytemuck::cast_slice_mut(unpacked);
    for (x, out) in x.chunks(BLOCKS * stride).zip(out.chunks_mut(BLOCKS * LANES * columns)) {
        let blocks = x.len() / stride;
        let padded = blocks * LANES;
        let sums = &mut sums[..padded * columns];
        sums.fill(0.0);
        for from in (0..inner).step_by(INNER) {
            let length = INNER.min(inner - from);
            // SAFETY: the caller promises the instructions.
            unsafe { unpack(w, inner, from, length, unpacked) };
            for block in (0..blocks).step_by(VECTORS) {
                let vectors = VECTORS.min(blocks - block);
                for column in (0..columns).step_by(COLUMNS) {
                    let width = COLUMNS.min(columns - column);
                    let tile = Tile {
                        x: x[block * stride + from / 2 * LANES..].as_ptr(),
                        x_stride: stride,
                        w: unpacked[column * length..].as_ptr().cast(),
                        w_stride: length / 2,
                        scales: &w.scales[column * (inner / layout.group)..],
                        scale_stride: inner / layout.group,
                        units: length / unit,
                        unit,
                        first: from,
                        group: layout.group,
                        out: sums[column * padded + block * LANES..].as_mut_ptr(),
                        out_stride: padded,
                    };
                    // SAFETY: the tile has `vectors` blocks of rows from `block` on and `width` columns from `column` on,
                    // all of which exist, and `length` elements from `from` on; the caller promises the instructions.
                    unsafe {
                        match (vectors, width) {
                            (1, COLUMNS) => tile.run::<1, COLUMNS>(),
                            (_, COLUMNS) => tile.run::<VECTORS, COLUMNS>(),
                            (_, width) => (0..width).for_each(|c| match vectors {
                                1 => tile.column(c).run::<1, 1>(),
                                _ => tile.column(c).run::<VECTORS, 1>(),
                            }),
                        }
                    }
                }
            }
        }
        let factor = |row: usize| f32::from_bits(x[row / LANES * stride + inner / 2 * LANES + row % LANES]);
        for (row, out) in out.chunks_exact_mut(columns).enumerate() {
            let factor = factor(row);
            for (n, y) in out.iter_mut().enumerate() {
                *y = factor * sums[n * padded + row];
            }
        }
    }
}

/// Elements `from..from + length` of each row, one row after the other.
///
/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
unsafe fn unpack(w: GroupedView<'_>, inner: usize, from: usize, length: usize, out: &mut [i16]) {
    let per_word = w.bits.per_word();
    let rows = w.words.chunks_exact(inner / per_word);
    for (words, out) in rows.zip(out.chunks_exact_mut(length)) {
        let words = &words[from / per_word..][..length / per_word];
        match w.bits {
            Bits::Four => unpack_row::<8>(words, out),
            Bits::Eight => unpack_row::<4>(words, out),
        }
    }
}

/// `N` integers a word: loops of a fixed length, which the compiler turns into vectors.
#[inline(always)]
fn unpack_row<const N: usize>(words: &[u32], out: &mut [i16]) {
    let bits = 32 / N;
    let (mask, offset) = ((1_u32 << bits) - 1, 1_i16 << (bits - 1));
    for (out, &word) in out.as_chunks_mut::<N>().0.iter_mut().zip(words) {
        for (i, y) in out.iter_mut().enumerate() {
            *y = ((word >> (i * bits)) & mask) as i16 - offset;
        }
    }
}

/// Where the operands of a tile lie; strides are in elements of the pointers.
#[derive(Clone, Copy)]
struct Tile<'a> {
    x: *const u32,
    x_stride: usize,
    /// Pairs.
    w: *const i32,
    w_stride: usize,
    /// From the first group of the first column on.
    scales: &'a [f32],
    scale_stride: usize,
    units: usize,
    /// Elements of a unit.
    unit: usize,
    /// The first element, and how many a group has.
    first: usize,
    group: usize,
    out: *mut f32,
    out_stride: usize,
}

impl Tile<'_> {
    /// From another column on.
    fn column(self, c: usize) -> Self {
        Self {
            w: self.w.wrapping_add(c * self.w_stride),
            scales: &self.scales[c * self.scale_stride..],
            out: self.out.wrapping_add(c * self.out_stride),
            ..self
        }
    }

    /// `V` vectors of rows by `C` columns.
    ///
    /// # Safety
    /// `x` has `V` blocks of a vector for each pair of all units, `w` `C` rows of those pairs, `out` `C` columns of `V`
    /// vectors; the machine has AVX2.
    #[target_feature(enable = "avx2,fma")]
    #[allow(clippy::needless_range_loop, reason = "indices of registers, all loops unroll")]
    unsafe fn run<const V: usize, const C: usize>(self) {
        for unit in 0..self.units {
            let group = (self.first + unit * self.unit) / self.group;
            // SAFETY: all reads and writes are inside what the caller promises.
            unsafe {
                let mut sums = [[_mm256_setzero_si256(); V]; C];
                let from = unit * self.unit / 2;
                for p in from..from + self.unit / 2 {
                    let mut x = [_mm256_setzero_si256(); V];
                    for v in 0..V {
                        x[v] = _mm256_loadu_si256(self.x.add(v * self.x_stride + p * LANES).cast());
                    }
                    for c in 0..C {
                        let w = _mm256_set1_epi32(*self.w.add(c * self.w_stride + p));
                        for v in 0..V {
                            sums[c][v] = _mm256_add_epi32(sums[c][v], _mm256_madd_epi16(x[v], w));
                        }
                    }
                }
                for c in 0..C {
                    let scale = _mm256_set1_ps(self.scales[c * self.scale_stride + group]);
                    for v in 0..V {
                        let to = self.out.add(c * self.out_stride + v * LANES);
                        let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[c][v]), scale, _mm256_loadu_ps(to));
                        _mm256_storeu_ps(to, sum);
                    }
                }
            }
        }
    }
}
