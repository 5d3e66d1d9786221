//! Products of many rows (AVX-512): bf16 weights by pairs where there are instructions for them, and everything in f32.
//! Integers in groups are rounded to bf16, a panel at a time.
//!
//! The lanes of a vector are sixteen rows of `x`, packed once a product as pairs of bf16 or as f32; a lane of neighbouring
//! weights is broadcast, straight from where the weight is stored. So weights need no packing, and each is read from
//! memory once. A tile is up to 64 rows by 6 columns: 24 sums in registers.

mod lanes;

use super::matmul::{Job, PANEL};
use lanes::{Floats, Lane, Pairs, Tile};

pub(super) use lanes::round;

/// Rows that are multiplied at once, a multiple of 16, so that their sums stay in the second-level cache until they are
/// handed out.
const ROWS: usize = 512;
/// Rows in a vector.
const LANES: usize = 16;
/// Lanes along the inner dimension after which sums are put down and taken up again, so that a block of `x` stays in the
/// second-level cache.
const INNER: usize = 1024;
/// Vectors of rows in a tile.
const VECTORS: usize = 4;
/// Columns in a tile.
const COLUMNS: usize = 6;

/// Rows packed: for each block of 16 rows, for each lane's worth of columns, the lane of each row.
#[derive(Clone, Copy)]
struct Packed<'a> {
    lanes: &'a [u32],
    /// Lanes in a row.
    inner: usize,
}

impl Job<'_> {
    /// The whole product by pairs of bf16.
    ///
    /// # Safety
    /// The machine has AVX512-BF16, rows an even number of elements. (Floats that are not bf16 are left out: there are none.)
    pub(super) unsafe fn pairs(&self) {
        // SAFETY: as the caller promises.
        unsafe { self.tiles::<Pairs>() }
    }

    /// The whole product in f32.
    ///
    /// # Safety
    /// The machine has AVX-512.
    pub(super) unsafe fn floats(&self) {
        // SAFETY: as the caller promises.
        unsafe { self.tiles::<Floats>() }
    }

    /// # Safety
    /// The machine has the instructions of `L`, and rows are whole lanes.
    unsafe fn tiles<L: Lane>(&self) {
        let (inner, rows, pool) = (self.inner / L::ELEMENTS, self.rows, self.product.pool);
        let mut buffer = pool.take_packed();
        let len = rows.next_multiple_of(LANES) * inner;
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        pool.rows(&mut buffer[..len], LANES * inner, |block, out| {
            let from = block * LANES * self.inner;
            let rows = &self.x[from..self.x.len().min(from + LANES * self.inner)];
            // SAFETY: the caller promises the instructions.
            unsafe { pack_block::<L>(rows, self.inner, out) };
        });
        let packed = &buffer[..len];
        let piece = ROWS.min(rows.next_multiple_of(LANES));
        let room = self.weights.iter().map(|w| L::room(w, PANEL * self.inner)).max().unwrap_or(0);
        self.panels(piece * PANEL + room, |results, scratch, from, to| {
            let width = to - from;
            let (stored, scratch) = scratch.split_at_mut(room);
            for (result, w) in results.chunks_exact_mut(rows * width).zip(self.weights) {
                // SAFETY: the caller promises the instructions.
                let Some(w) = (unsafe { L::stored(w.part(from * self.inner, to * self.inner), stored) })
                else {
                    continue;
                };
                let pieces = packed.chunks(piece * inner).zip(result.chunks_mut(piece * width));
                for (lanes, result) in pieces {
                    let padded = lanes.len() / inner;
                    let sums = &mut scratch[..padded * width];
                    // SAFETY: the caller promises the instructions.
                    unsafe { product::<L>(Packed { lanes, inner }, w, sums) };
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
/// The machine has the instructions of `L`.
///
/// # Panics
/// When `out` is not a vector for each lane of a row.
unsafe fn pack_block<L: Lane>(x: &[f32], columns: usize, out: &mut [u32]) {
    let inner = columns / L::ELEMENTS;
    assert!(out.len() == LANES * inner, "a vector for each lane of a row");
    let mut block = [[0_u32; LANES]; LANES];
    for (i, out) in out.chunks_mut(LANES * LANES).enumerate() {
        for (x, lanes) in x.chunks_exact(columns).zip(&mut block) {
            // SAFETY: the caller promises the instructions.
            *lanes = unsafe { L::pack(&x[L::ELEMENTS * LANES * i..]) };
        }
        for (i, out) in out.chunks_exact_mut(LANES).enumerate() {
            for (to, lanes) in out.iter_mut().zip(&block) {
                *to = lanes[i];
            }
        }
    }
}

/// `out[n, row] = Σ x[row, k]·w[n, k]`, with `out` transposed: a column of results is contiguous and padded to whole
/// vectors. `w` has whole rows of `inner` lanes.
///
/// # Safety
/// The machine has the instructions of `L`.
///
/// # Panics
/// When the lengths do not fit.
unsafe fn product<L: Lane>(x: Packed<'_>, w: &[u8], out: &mut [f32]) {
    let blocks = x.lanes.len() / (x.inner * LANES);
    let columns = w.len() / (4 * x.inner);
    let padded = blocks * LANES;
    assert!(x.inner > 0 && x.lanes.len() == blocks * x.inner * LANES, "whole blocks of rows");
    assert!(
        w.len() == columns * 4 * x.inner && out.len() == columns * padded,
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
                let tile = Tile {
                    x: x.lanes[block * x.inner * LANES + from * LANES..].as_ptr(),
                    x_stride: x.inner * LANES,
                    w: w[4 * (column * x.inner + from)..].as_ptr().cast(),
                    w_stride: x.inner,
                    length,
                    out: out[column * padded + block * LANES..].as_mut_ptr(),
                    out_stride: padded,
                    add: from > 0,
                };
                // SAFETY: the tile has `vectors` blocks of rows from `block` on and `width` columns from `column` on, all
                // of which exist, and `length` lanes from `from` on; the caller promises the instructions.
                unsafe {
                    match (vectors, width) {
                        (1, COLUMNS) => L::run::<1, COLUMNS>(&tile),
                        (2, COLUMNS) => L::run::<2, COLUMNS>(&tile),
                        (3, COLUMNS) => L::run::<3, COLUMNS>(&tile),
                        (_, COLUMNS) => L::run::<VECTORS, COLUMNS>(&tile),
                        (1, 2) => L::run::<1, 2>(&tile),
                        (2, 2) => L::run::<2, 2>(&tile),
                        (3, 2) => L::run::<3, 2>(&tile),
                        (_, 2) => L::run::<VECTORS, 2>(&tile),
                        (1, _) => L::run::<1, 1>(&tile),
                        (2, _) => L::run::<2, 1>(&tile),
                        (3, _) => L::run::<3, 1>(&tile),
                        (_, _) => L::run::<VECTORS, 1>(&tile),
                    }
                }
                column += width;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::isa::Level;
    use half::bf16;

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
            unsafe { pack_block::<Pairs>(&x, columns, &mut out) };
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

    /// Products of numbers that bf16 holds exactly, beside their sums.
    fn products_are_sums<L: Lane>(store: impl Fn(&[f32]) -> Vec<u8>) {
        for (rows, columns, inner) in
            [(1, 1, 2), (16, 6, 64), (17, 7, 66), (40, 13, 34), (64, 12, 2100), (70, 9, 4100)]
        {
            let number = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 64.0;
            let x: Vec<f32> = (0..rows * inner).map(number).collect();
            let w: Vec<f32> = (0..columns * inner).map(|i| number(i + 3)).collect();
            let padded = rows.next_multiple_of(LANES);
            let lanes = inner / L::ELEMENTS;
            let mut packed = vec![0; padded * lanes];
            let mut out = vec![f32::NAN; padded * columns];
            for (block, packed) in packed.chunks_mut(LANES * lanes).enumerate() {
                let from = block * LANES * inner;
                let rows = &x[from..x.len().min(from + LANES * inner)];
                // SAFETY: the caller has found the instructions.
                unsafe { pack_block::<L>(rows, inner, packed) };
            }
            // SAFETY: as above.
            unsafe { product::<L>(Packed { lanes: &packed, inner: lanes }, &store(&w), &mut out) };
            for (n, column) in out.chunks(padded).enumerate() {
                for (row, got) in column.iter().enumerate() {
                    let x = if row < rows { &x[row * inner..][..inner] } else { &[][..] };
                    let products = x.iter().zip(&w[n * inner..]).map(|(&x, &w)| f64::from(x) * f64::from(w));
                    let want: f64 = products.sum();
                    assert!((f64::from(*got) - want).abs() < 1e-3, "{row} {n}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn products_are_sums_over_all_lanes() {
        let level = Isa::detect().0;
        if level >= Level::Avx512 {
            products_are_sums::<Floats>(|w| bytemuck::cast_slice(w).to_vec());
        }
        if level >= Level::Avx512Bf16 {
            let rounded = |w: &[f32]| w.iter().map(|&w| bf16::from_f32(w)).collect::<Vec<_>>();
            products_are_sums::<Pairs>(|w| bytemuck::cast_slice(&rounded(w)).to_vec());
        }
    }
}
