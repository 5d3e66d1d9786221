//! Products of a few rows with a weight, reading the weight once.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use super::{View, dot};
use crate::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Level;

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
    if matches!(isa.0, Level::Avx512 | Level::Avx512Bf16) {
        match w {
            // SAFETY: an `Isa` is only made on a machine that has it; `w` has this many rows.
            View::BF16(w) => return unsafe { few(x, w, inner, columns, out, scratch) },
            View::Grouped(w) if avx512::takes(w) => {
                // SAFETY: as above.
                return unsafe {
                    match (avx512::Integers::<8>::new(w), avx512::Integers::<4>::new(w)) {
                        (Some(w), _) => few(x, w, inner, columns, out, scratch),
                        (_, Some(w)) => few(x, w, inner, columns, out, scratch),
                        _ => {}
                    }
                };
            }
            _ => {}
        }
    }
    #[cfg(target_arch = "x86_64")]
    if let (Level::Avx2, View::BF16(w), 2..) = (isa.0, w, rows) {
        for (x, out) in x.chunks(ROWS * inner).zip(out.chunks_mut(ROWS * columns)) {
            // SAFETY: an `Isa` is only made on a machine that has it; `w` has this many rows.
            unsafe {
                match x.len() / inner {
                    1 => avx2::rows::<1>(x, w, inner, columns, out),
                    2 => avx2::rows::<2>(x, w, inner, columns, out),
                    3 => avx2::rows::<3>(x, w, inner, columns, out),
                    _ => avx2::rows::<ROWS>(x, w, inner, columns, out),
                }
            }
        }
        return;
    }
    for n in 0..columns {
        let w = w.part(n * inner, (n + 1) * inner);
        // Integers are widened once for all rows.
        let w = match w {
            View::Grouped(w) if rows > 0 => {
                w.widen(&mut scratch[..inner]);
                View::F32(&scratch[..inner])
            }
            w => w,
        };
        for (r, x) in x.chunks_exact(inner).enumerate() {
            out[r * columns + n] = dot(isa, x, w);
        }
    }
}

/// [`ROWS`] rows of `x` at a time.
///
/// # Safety
/// The machine has AVX-512; `w` has `columns` rows of `inner` elements.
#[cfg(target_arch = "x86_64")]
unsafe fn few<W: avx512::Stored>(
    x: &[f32],
    w: W,
    inner: usize,
    columns: usize,
    out: &mut [f32],
    scratch: &mut [f32],
) {
    for (i, x) in x.chunks(ROWS * inner).enumerate() {
        let scratch = &mut scratch[i * ROWS * inner..][..x.len()];
        let out = &mut out[i * ROWS * columns..];
        // SAFETY: as the caller promises.
        unsafe {
            match x.len() / inner {
                1 => avx512::rows::<W, 1>(x, w, inner, columns, out, scratch),
                2 => avx512::rows::<W, 2>(x, w, inner, columns, out, scratch),
                3 => avx512::rows::<W, 3>(x, w, inner, columns, out, scratch),
                _ => avx512::rows::<W, ROWS>(x, w, inner, columns, out, scratch),
            }
        }
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

    #[test]
    fn every_instruction_set_gives_the_products_with_integers_in_groups() {
        use crate::kernels::GroupedView;
        use monolens_graph::Bits;
        for (rows, columns, inner, group) in [
            (1, 3, 32, 32),
            (1, 5, 256, 128),
            (2, 9, 320, 64),
            (3, 4, 192, 96),
            (4, 7, 512, 256),
            (5, 6, 160, 32),
            (9, 5, 384, 128),
        ] {
            for bits in Bits::ALL {
                let x: Vec<f32> = (0..rows * inner).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
                let integer = |i: usize| (i * 29 % (1 << bits.count())) as i32 - bits.offset();
                let integers: Vec<i32> = (0..columns * inner).map(integer).collect();
                let words: Vec<u32> = integers.chunks(bits.per_word()).map(|q| bits.pack(q)).collect();
                let scales: Vec<f32> =
                    (0..columns * inner / group).map(|i| (1.0 + i as f32) / 512.0).collect();
                let w = View::Grouped(GroupedView { words: &words, scales: &scales, bits, group });
                let value = |i: usize| f64::from(integers[i]) * f64::from(scales[i / group]);
                for isa in Isa::available() {
                    let mut out = vec![f32::NAN; rows * columns];
                    gemv(isa, &x, w, inner, &mut out, &mut vec![0.0; x.len()]);
                    for (i, got) in out.iter().enumerate() {
                        let (r, n) = (i / columns, i % columns);
                        let terms = (0..inner).map(|k| f64::from(x[r * inner + k]) * value(n * inner + k));
                        let (want, size) = terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
                        assert!(
                            (f64::from(*got) - want).abs() < 1e-6 * size,
                            "{isa:?} {bits:?} {rows} {columns} {inner} {group}: {got} {want}"
                        );
                    }
                }
            }
        }
    }
}
