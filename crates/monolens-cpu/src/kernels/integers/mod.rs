//! Products with weights of integers in groups on CPUs with AVX2 (with AVX-512, few rows only): rows are rounded to integers of 16 bits, each row with
//! a factor, and pairs of integers are multiplied and added exactly. Twice as many products an instruction as in f32.
//!
//! Rounding adds at most `inner / (12·32767²)` of a row's power, whatever its outliers: 6e-7 at 8192 elements. Sums of a
//! *unit* (a part of a group) stay integers; then they become f32, times the scale of the group. Few rows are each
//! streamed past the weight as it is stored (`bytes` with AVX-512 VNNI, else `few`); for many, a panel of the weight is
//! unpacked first (`many`).

mod bytes;
mod few;
mod many;
mod round;

use super::matmul::Job;
use super::{GroupedView, View};
use crate::isa::Level;
use monolens_graph::Bits;

/// Rows up to which weights are streamed past the rows,
const FEW: usize = 32;
/// and where there are pairs of bf16 (8 bits, 24 rows: 301 against 247 GFLOP/s; 32 rows: 308 against 327).
const FEW_BESIDE_PAIRS: usize = 24;
/// Most elements of a unit: sums of so many products of 16 bits by 8 fit into 32.
const UNIT: usize = 128;

/// What the weights of a product have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    bits: Bits,
    /// Elements of a group.
    group: usize,
    /// Elements whose sum stays an integer; divides the group.
    unit: usize,
    /// Elements of a row.
    inner: usize,
}

impl Layout {
    /// Of weights that these kernels can take.
    fn of(weights: &[View<'_>], inner: usize) -> Option<Self> {
        let layout = |w: &View<'_>| match w {
            View::Grouped(GroupedView { bits, group, .. }) => {
                let unit = [UNIT, UNIT / 2, UNIT / 4].into_iter().find(|unit| group.is_multiple_of(*unit))?;
                Some(Self { bits: *bits, group: *group, unit, inner })
            }
            _ => None,
        };
        let first = layout(weights.first()?)?;
        weights.iter().all(|w| layout(w) == Some(first)).then_some(first)
    }
}

impl Job<'_> {
    /// The whole product, or false when it is none for these kernels: other weights, rows that are not finite, or so many
    /// of them that AVX-512 has better.
    ///
    /// # Safety
    /// The machine has AVX2.
    pub(super) unsafe fn integers(&self) -> bool {
        let Some(layout) = Layout::of(self.weights, self.inner) else { return false };
        let most = match self.product.isa.0 {
            Level::Avx512Bf16 => FEW_BESIDE_PAIRS,
            Level::Avx512 => FEW,
            _ => usize::MAX,
        };
        if self.rows > most {
            return false;
        }
        let mut buffer = self.product.pool.take_packed();
        let done = if self.product.isa.0 == Level::Avx512Bf16 && bytes::takes(layout) {
            let round = |x: &[f32], out: &mut [u32]| bytes::round(x, layout, out);
            let (stride, rows) = (bytes::row_len(layout), bytes::rows);
            // SAFETY: the level has these instructions.
            self.few_integers(&mut buffer, stride, round, |x, w, out| unsafe {
                rows(x, stride, w, layout, out)
            })
        } else if self.rows <= FEW && few::takes(layout) {
            let round = |x: &[f32], out: &mut [u32]| round::streamed(x, layout, out);
            let (stride, rows) = (round::streamed_len(layout), few::rows);
            // SAFETY: the caller promises the instructions.
            self.few_integers(&mut buffer, stride, round, |x, w, out| unsafe {
                rows(x, stride, w, layout, out)
            })
        } else {
            // SAFETY: the caller promises the instructions.
            unsafe { self.many_integers(layout, &mut buffer) }
        };
        self.product.pool.put_packed(buffer);
        done
    }

    /// Few rows: `round` makes `stride` words of each, and `rows` passes a weight, as it is stored, by all of them.
    fn few_integers(
        &self,
        buffer: &mut Vec<u32>,
        stride: usize,
        round: impl Fn(&[f32], &mut [u32]) -> bool + Sync + Send,
        rows: impl Fn(&[u32], GroupedView<'_>, &mut [f32]) + Sync + Send,
    ) -> bool {
        let rounded = aligned(buffer, self.rows * stride);
        let finite = all_rows(self, rounded, stride, 1, round);
        let rounded = &*rounded;
        if finite {
            self.panels(0, |results, _, from, to| {
                for (result, w) in results.chunks_exact_mut(self.rows * (to - from)).zip(self.weights) {
                    if let View::Grouped(w) = w.part(from * self.inner, to * self.inner) {
                        rows(rounded, w, result);
                    }
                }
            });
        }
        finite
    }

    /// Many rows: panels of the weight become integers of 16 bits.
    unsafe fn many_integers(&self, layout: Layout, buffer: &mut Vec<u32>) -> bool {
        let stride = many::packed_len(layout.inner);
        let blocks = self.rows.div_ceil(many::LANES);
        let packed = aligned(buffer, blocks * stride);
        let finite =
            all_rows(self, packed, stride, many::LANES, |x, out| round::packed(x, layout.inner, out));
        let packed = &*packed;
        if finite {
            self.panels(many::scratch_len(blocks), |results, scratch, from, to| {
                for (result, w) in results.chunks_exact_mut(self.rows * (to - from)).zip(self.weights) {
                    if let View::Grouped(w) = w.part(from * self.inner, to * self.inner) {
                        // SAFETY: the caller promises the instructions.
                        unsafe { many::panel(packed, w, layout, scratch, result) };
                    }
                }
            });
        }
        finite
    }
}

/// Gives `count` rows of x at a time, and their part of `out`, to `round`; whether all of them are finite.
fn all_rows(
    job: &Job<'_>,
    out: &mut [u32],
    stride: usize,
    count: usize,
    round: impl Fn(&[f32], &mut [u32]) -> bool + Sync + Send,
) -> bool {
    let bad = std::sync::atomic::AtomicBool::new(false);
    let step = count * job.inner;
    job.product.pool.rows(out, stride, |i, out| {
        if !round(&job.x[i * step..job.x.len().min((i + 1) * step)], out) {
            bad.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    });
    !bad.into_inner()
}

/// `len` words of a buffer, of any content, beginning with a cache line.
fn aligned(buffer: &mut Vec<u32>, len: usize) -> &mut [u32] {
    const LINE: usize = 16;
    if buffer.len() < len + LINE {
        buffer.resize(len + LINE, 0);
    }
    let start = buffer.as_ptr().align_offset(4 * LINE).min(LINE);
    &mut buffer[start..start + len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{Product, matmul, matmul::PANEL};
    use crate::{Arithmetic, Isa, Pool};
    use std::sync::Mutex;

    /// Rows, columns, inner elements, group.
    const SHAPES: [[usize; 4]; 14] = [
        [1, 3, 32, 32],
        [1, 5, 256, 128],
        [2, 8, 256, 32],
        [3, 11, 384, 64],
        [2, 9, 320, 64],
        [3, 4, 192, 96],
        [4, 97, 512, 256],
        [5, 6, 160, 32],
        [9, 5, 384, 128],
        [12, 100, 1024, 32],
        [41, 2, 96, 96],
        [35, 103, 640, 128],
        [33, 7, 1152, 64],
        [70, 101, 2048, 2048],
    ];

    fn avx2() -> Option<Isa> {
        Isa::available().into_iter().find(|isa| isa.0 == Level::Avx2)
    }

    #[test]
    fn rows_times_integers_in_groups() {
        let pool = Pool::new(Some(2)).unwrap();
        let isas = || Isa::available().into_iter().filter(|isa| isa.0 >= Level::Avx2);
        for ([rows, columns, inner, group], bits, isa) in
            SHAPES.into_iter().flat_map(|s| isas().flat_map(move |isa| Bits::ALL.map(|bits| (s, bits, isa))))
        {
            // With AVX-512 many rows may have kernels of their own, which round otherwise.
            if isa.0 > Level::Avx2 && rows > FEW {
                continue;
            }
            // One outlier a row, a thousand times the rest.
            let outlier = |i: usize| if i % inner == 7 { 1000.0 } else { 1.0 };
            let x: Vec<f32> =
                (0..rows * inner).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * outlier(i)).collect();
            let integer = |i: usize| (i * 29 % (1 << bits.count())) as i32 - bits.offset();
            let integers: Vec<i32> = (0..columns * inner).map(integer).collect();
            let words: Vec<u32> = integers.chunks(bits.per_word()).map(|q| bits.pack(q)).collect();
            let scales: Vec<f32> = (0..columns * inner / group).map(|i| (1.0 + i as f32) / 512.0).collect();
            let w = View::Grouped(GroupedView { words: &words, scales: &scales, bits, group });
            let out = Mutex::new(vec![f32::NAN; rows * columns]);
            let product = Product { pool: &pool, isa, arithmetic: Arithmetic::Fast };
            matmul(product, &x, inner, &[w], &|row, from, parts| {
                out.lock().unwrap()[row * columns + from..][..parts[0].len()].copy_from_slice(parts[0]);
            });
            for (i, &got) in out.lock().unwrap().iter().enumerate() {
                let (r, n) = (i / columns, i % columns);
                let x = &x[r * inner..][..inner];
                let terms = (0..inner).map(|k| {
                    let scale = f64::from(scales[(n * inner + k) / group]);
                    (f64::from(x[k]), f64::from(integers[n * inner + k]) * scale)
                });
                let want: f64 = terms.clone().map(|(x, w)| x * w).sum();
                // Half a step of the rounding for every element, and f32.
                let most = x.iter().fold(0_f32, |most, x| most.max(x.abs()));
                let step = f64::from(most) / 32767.0;
                let allowed: f64 = terms.map(|(x, w)| w.abs() * (0.5 * step + 1e-6 * x.abs())).sum();
                assert!(
                    (f64::from(got) - want).abs() <= allowed,
                    "{isa:?} {bits:?} {rows} {columns} {inner} {group}: {got} {want}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_left_to_floats() {
        let Some(isa) = avx2() else { return };
        let pool = Pool::new(Some(1)).unwrap();
        let words = vec![0x9999_9999; 64 * 3 / 8];
        let w = View::Grouped(GroupedView { words: &words, scales: &[1.0; 3], bits: Bits::Four, group: 64 });
        for bad in [f32::NAN, f32::INFINITY] {
            for rows in [1, 40] {
                let mut x = vec![1.0; 64 * rows];
                x[5] = bad;
                let product = Product { pool: &pool, isa, arithmetic: Arithmetic::Fast };
                matmul(product, &x, 64, &[w], &|row, _, parts| {
                    for &got in parts[0] {
                        assert!(if row > 0 { got == 64.0 } else { got.is_nan() || got == bad }, "{got}");
                    }
                });
            }
        }
    }

    #[test]
    fn a_row_of_zeros_gives_zeros() {
        let Some(isa) = avx2() else { return };
        let pool = Pool::new(Some(1)).unwrap();
        let words = vec![0x1234_5678; 64 * 5 / 8];
        let w = View::Grouped(GroupedView { words: &words, scales: &[1.0; 5], bits: Bits::Four, group: 64 });
        for rows in [1, 40] {
            let product = Product { pool: &pool, isa, arithmetic: Arithmetic::Fast };
            matmul(product, &vec![0.0; 64 * rows], 64, &[w], &|_, _, parts| {
                assert!(parts[0].iter().all(|&got| got == 0.0));
            });
        }
    }

    #[test]
    fn panels_are_whole_tiles() {
        assert!(PANEL.is_multiple_of(many::COLUMNS));
    }
}
