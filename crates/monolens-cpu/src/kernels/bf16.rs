//! Products of many rows with bf16 weights by pairs (AVX512-BF16). Integers in groups are rounded to bf16, a panel at a time.
//!
//! The lanes of a vector are sixteen rows of `x`, packed once a product as pairs of bf16; a pair of neighbouring weights
//! is broadcast to all lanes, straight from where the weight is stored. So weights need no packing, and each is read from
//! memory once. A tile is up to 64 rows by 6 columns: 24 sums in registers.

use super::View;
use super::matmul::{Job, PANEL};
use half::bf16;

/// Rows that are multiplied at once, a multiple of 16, so that their sums stay in the second-level cache until they are
/// handed out.
const ROWS: usize = 512;
/// Rows in a vector.
const LANES: usize = 16;
/// Pairs along the inner dimension after which sums are put down and taken up again, so that a block of `x` stays in the
/// second-level cache.
const INNER: usize = 1024;
/// Vectors of rows in a tile.
const VECTORS: usize = 4;
/// Columns in a tile.
const COLUMNS: usize = 6;

/// Rows rounded to bf16 and packed: for each block of 16 rows, for each pair of columns, the pair of each row.
#[derive(Clone, Copy)]
struct Packed<'a> {
    pairs: &'a [u32],
    /// Pairs in a row.
    inner: usize,
}

impl Packed<'_> {
    /// Elements that packing rows needs.
    fn len(rows: usize, columns: usize) -> usize {
        rows.next_multiple_of(LANES) * columns / 2
    }
}

impl Job<'_> {
    /// The whole product.
    ///
    /// # Safety
    /// The machine has AVX512-BF16. (Floats that are not bf16 are left out: there are none.)
    pub(super) unsafe fn pairs(&self) {
        let (inner, rows, pool) = (self.inner, self.rows, self.product.pool);
        let mut buffer = pool.take_packed();
        let len = Packed::len(rows, inner);
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        pool.rows(&mut buffer[..len], LANES * inner / 2, |block, out| {
            let from = block * LANES * inner;
            let rows = &self.x[from..self.x.len().min(from + LANES * inner)];
            // SAFETY: the caller promises the instructions.
            unsafe { pack_block(rows, inner, out) };
        });
        let packed = &buffer[..len];
        let piece = ROWS.min(rows.next_multiple_of(LANES));
        let rounds = self.weights.iter().any(|w| matches!(w, View::Grouped(_)));
        let room = if rounds { PANEL * inner / 2 } else { 0 };
        self.panels(piece * PANEL + room, |results, scratch, from, to| {
            let width = to - from;
            let (rounded, scratch) = scratch.split_at_mut(room);
            for (result, w) in results.chunks_exact_mut(rows * width).zip(self.weights) {
                let w = match w.part(from * inner, to * inner) {
                    View::BF16(w) => w,
                    View::Grouped(w) => {
                        let rounded: &mut [bf16] = bytemuck::cast_slice_mut(rounded);
                        // SAFETY: the caller promises the instructions.
                        unsafe { x86::round_groups(w, &mut rounded[..w.len()]) };
                        &rounded[..w.len()]
                    }
                    _ => continue,
                };
                let pieces = packed.chunks(piece * inner / 2).zip(result.chunks_mut(piece * width));
                for (pairs, result) in pieces {
                    let padded = 2 * pairs.len() / inner;
                    let sums = &mut scratch[..padded * width];
                    // SAFETY: the caller promises the instructions.
                    unsafe { product(Packed { pairs, inner: inner / 2 }, w, sums) };
                    for (n, column) in sums.chunks_exact(padded).enumerate() {
                        for (row, &sum) in result.chunks_exact_mut(width).zip(column) {
                            row[n] = sum;
                        }
                    }
                }
            }
        });
        pool.put_packed(buffer);
    }
}

/// Packs one block of up to 16 rows; missing rows are zeros.
///
/// # Safety
/// The machine has AVX512-BF16.
///
/// # Panics
/// When `out` is not a vector for each pair of columns.
unsafe fn pack_block(x: &[f32], columns: usize, out: &mut [u32]) {
    assert!(out.len() == LANES * columns / 2, "a vector for each pair of columns");
    let mut block = [[0_u32; LANES]; LANES];
    for (i, out) in out.chunks_mut(LANES * LANES).enumerate() {
        for (x, pairs) in x.chunks_exact(columns).zip(&mut block) {
            match x[2 * LANES * i..].first_chunk() {
                // SAFETY: the caller promises the instructions.
                Some(x) => *pairs = unsafe { x86::round(x) },
                None => {
                    for (x, pair) in x[2 * LANES * i..].chunks_exact(2).zip(pairs) {
                        let [a, b] = [x[0], x[1]].map(|v| u32::from(bf16::from_f32(v).to_bits()));
                        *pair = a | b << 16;
                    }
                }
            }
        }
        for (i, out) in out.chunks_exact_mut(LANES).enumerate() {
            for (to, pairs) in out.iter_mut().zip(&block) {
                *to = pairs[i];
            }
        }
    }
}

/// `out[n, row] = Σ x[row, k]·w[n, k]`, with `out` transposed: a column of results is contiguous and padded to whole
/// vectors. `w` has whole rows of `2·inner` elements.
///
/// # Safety
/// The machine has AVX512-BF16.
///
/// # Panics
/// When the lengths do not fit.
unsafe fn product(x: Packed<'_>, w: &[bf16], out: &mut [f32]) {
    let blocks = x.pairs.len() / (x.inner * LANES);
    let columns = w.len() / (2 * x.inner);
    let padded = blocks * LANES;
    assert!(x.inner > 0 && x.pairs.len() == blocks * x.inner * LANES, "whole blocks of rows");
    assert!(
        w.len() == columns * 2 * x.inner && out.len() == columns * padded,
        "a sum for each row and column"
    );
    for from in (0..x.inner).step_by(INNER) {
        let length = INNER.min(x.inner - from);
        for block in (0..blocks).step_by(VECTORS) {
            let vectors = VECTORS.min(blocks - block);
            let mut column = 0;
            while column < columns {
                let width = match columns - column {
                    COLUMNS.. => COLUMNS,
                    2.. => 2,
                    _ => 1,
                };
                let tile = x86::Tile {
                    x: x.pairs[block * x.inner * LANES + from * LANES..].as_ptr(),
                    x_stride: x.inner * LANES,
                    w: w[column * 2 * x.inner + 2 * from..].as_ptr().cast(),
                    w_stride: x.inner,
                    length,
                    out: out[column * padded + block * LANES..].as_mut_ptr(),
                    out_stride: padded,
                    add: from > 0,
                };
                // SAFETY: the tile has `vectors` blocks of rows from `block` on and `width` columns from `column` on, all
                // of which exist, and `length` pairs from `from` on; the caller promises the instructions.
                unsafe {
                    match (vectors, width) {
                        (1, COLUMNS) => tile.run::<1, COLUMNS>(),
                        (2, COLUMNS) => tile.run::<2, COLUMNS>(),
                        (3, COLUMNS) => tile.run::<3, COLUMNS>(),
                        (_, COLUMNS) => tile.run::<VECTORS, COLUMNS>(),
                        (1, 2) => tile.run::<1, 2>(),
                        (2, 2) => tile.run::<2, 2>(),
                        (3, 2) => tile.run::<3, 2>(),
                        (_, 2) => tile.run::<VECTORS, 2>(),
                        (1, _) => tile.run::<1, 1>(),
                        (2, _) => tile.run::<2, 1>(),
                        (3, _) => tile.run::<3, 1>(),
                        (_, _) => tile.run::<VECTORS, 1>(),
                    }
                }
                column += width;
            }
        }
    }
}

pub(super) mod x86 {
    use super::super::GroupedView;
    use super::LANES;
    use half::bf16;
    use monolens_graph::{Bits, GROUP_UNIT};
    use std::arch::x86_64::*;

    /// Sixteen pairs of bf16.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(in super::super) fn round(x: &[f32; 2 * LANES]) -> [u32; LANES] {
        let (low, high) = x.split_at(LANES);
        // SAFETY: both halves have a vector's elements, and a vector is as large as sixteen pairs.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(low.as_ptr()), _mm512_loadu_ps(high.as_ptr()));
            std::mem::transmute::<__m512bh, [u32; LANES]>(_mm512_cvtne2ps_pbh(high, low))
        }
    }

    /// Integers in groups as bf16, the nearest.
    ///
    /// # Panics
    /// When `out` has not as many elements.
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub(super) fn round_groups(w: GroupedView<'_>, out: &mut [bf16]) {
        assert_eq!(out.len(), w.len(), "an element for each integer");
        let units = out.as_chunks_mut::<GROUP_UNIT>().0.iter_mut();
        let words = w.words.chunks_exact(GROUP_UNIT / w.bits.per_word());
        let offset = _mm512_set1_epi32(w.bits.offset());
        for (at, (out, words)) in units.zip(words).enumerate() {
            let scale = _mm512_set1_ps(w.scales[at * GROUP_UNIT / w.group]);
            let float = |q: __m128i| {
                let q = _mm512_sub_epi32(_mm512_cvtepu8_epi32(q), offset);
                _mm512_mul_ps(_mm512_cvtepi32_ps(q), scale)
            };
            // SAFETY: a unit has 16 bytes of 4-bit integers or 32 of 8-bit ones, and 64 bytes of bf16.
            unsafe {
                let words = words.as_ptr().cast::<__m128i>();
                let first = _mm_loadu_si128(words);
                let [low, high] = match w.bits {
                    Bits::Eight => [first, _mm_loadu_si128(words.add(1))],
                    Bits::Four => {
                        // Neighbours are halves of one byte.
                        let mask = _mm_set1_epi8(0x0f);
                        let even = _mm_and_si128(first, mask);
                        let odd = _mm_and_si128(_mm_srli_epi16::<4>(first), mask);
                        [_mm_unpacklo_epi8(even, odd), _mm_unpackhi_epi8(even, odd)]
                    }
                };
                let pairs = _mm512_cvtne2ps_pbh(float(high), float(low));
                out.as_mut_ptr().cast::<__m512bh>().write_unaligned(pairs);
            }
        }
    }

    /// Where the operands of a tile lie; strides are in elements of the pointers.
    pub(super) struct Tile {
        pub(super) x: *const u32,
        pub(super) x_stride: usize,
        pub(super) w: *const u32,
        pub(super) w_stride: usize,
        pub(super) length: usize,
        pub(super) out: *mut f32,
        pub(super) out_stride: usize,
        pub(super) add: bool,
    }

    impl Tile {
        /// `V` vectors of rows by `C` columns.
        ///
        /// # Safety
        /// `x` has `V` blocks of `length` vectors, `w` `C` rows of `length` pairs (of any alignment), `out` `C` columns of
        /// `V` vectors; the machine has AVX512-BF16.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
        #[allow(clippy::needless_range_loop, reason = "indices of registers, all loops unroll")]
        pub(super) unsafe fn run<const V: usize, const C: usize>(&self) {
            // SAFETY: all reads and writes are inside what the caller promises.
            unsafe {
                let mut sums = [[_mm512_setzero_ps(); V]; C];
                if self.add {
                    for c in 0..C {
                        for v in 0..V {
                            sums[c][v] = _mm512_loadu_ps(self.out.add(c * self.out_stride + v * LANES));
                        }
                    }
                }
                for p in 0..self.length {
                    let mut x = [_mm512_setzero_si512(); V];
                    for v in 0..V {
                        x[v] = _mm512_loadu_si512(self.x.add(v * self.x_stride + p * LANES).cast());
                    }
                    for c in 0..C {
                        let pair = self.w.add(c * self.w_stride + p).read_unaligned();
                        let w = _mm512_set1_epi32(pair as i32);
                        for v in 0..V {
                            sums[c][v] = _mm512_dpbf16_ps(
                                sums[c][v],
                                std::mem::transmute::<__m512i, __m512bh>(x[v]),
                                std::mem::transmute::<__m512i, __m512bh>(w),
                            );
                        }
                    }
                }
                for c in 0..C {
                    for v in 0..V {
                        _mm512_storeu_ps(self.out.add(c * self.out_stride + v * LANES), sums[c][v]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::isa::Level;

    #[test]
    fn packing_rounds_to_even_and_keeps_what_is_not_a_number() {
        if Isa::detect().0 != Level::Avx512Bf16 {
            return;
        }
        for (rows, columns) in [(1, 2), (16, 32), (3, 34), (15, 66), (16, 100)] {
            let mut x: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.731).sin() * 1e3).collect();
            x[0] = f32::NAN;
            x[rows * columns - 1] = f32::NEG_INFINITY;
            let mut out = vec![77; LANES * columns / 2];
            // SAFETY: just found.
            unsafe { pack_block(&x, columns, &mut out) };
            for (at, pair) in out.iter().enumerate() {
                let (k, row) = (at / LANES, at % LANES);
                for (half, bits) in [(0, pair & 0xffff), (1, pair >> 16)] {
                    let got = bf16::from_bits(bits as u16);
                    let want =
                        if row < rows { bf16::from_f32(x[row * columns + 2 * k + half]) } else { bf16::ZERO };
                    assert!(
                        got == want || got.is_nan() && want.is_nan(),
                        "{rows} {columns} {at}: {got} {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn products_are_sums_over_all_pairs() {
        if Isa::detect().0 != Level::Avx512Bf16 {
            return;
        }
        for (rows, columns, inner) in
            [(1, 1, 2), (16, 6, 64), (17, 7, 66), (40, 13, 34), (64, 12, 2100), (70, 9, 4100)]
        {
            let number = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 64.0;
            let x: Vec<f32> = (0..rows * inner).map(number).collect();
            let w: Vec<bf16> = (0..columns * inner).map(|i| bf16::from_f32(number(i + 3))).collect();
            let padded = rows.next_multiple_of(LANES);
            let mut pairs = vec![0; Packed::len(rows, inner)];
            let mut out = vec![f32::NAN; padded * columns];
            for (block, pairs) in pairs.chunks_mut(LANES * inner / 2).enumerate() {
                let from = block * LANES * inner;
                // SAFETY: just found.
                unsafe { pack_block(&x[from..x.len().min(from + LANES * inner)], inner, pairs) };
            }
            // SAFETY: just found.
            unsafe { product(Packed { pairs: &pairs, inner: inner / 2 }, &w, &mut out) };
            for (n, column) in out.chunks(padded).enumerate() {
                for (row, got) in column.iter().enumerate() {
                    let x = if row < rows { &x[row * inner..][..inner] } else { &[][..] };
                    let pairs = x.iter().zip(&w[n * inner..]);
                    let want: f64 = pairs.map(|(&x, w)| f64::from(x) * w.to_f64()).sum();
                    assert!((f64::from(*got) - want).abs() < 1e-3, "{row} {n}: {got} {want}");
                }
            }
        }
    }
}
