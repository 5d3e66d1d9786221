//! Products of rows with stored weights, cut into panels of columns that threads take one by one.

use super::{Matrix, MatrixMut, View, gemm, gemv};
use crate::isa::Level;
use crate::{Arithmetic, Isa, Pool};

/// Columns of a panel, a multiple of the columns of a tile.
pub(super) const PANEL: usize = 96;
/// Rows from which pairs of bf16 stream faster than f32 rows: 218 GFLOP/s against 148 at 8, but 0.125 s a token of the 2B size
/// against 0.109 with one row.
#[cfg(target_arch = "x86_64")]
const SEVERAL: usize = 4;
/// Rows up to which weights are streamed past the rows, here by pairs of bf16,
const FEW_PAIRS: usize = 8;
/// by vectors of bf16 weights or of integers (AVX-512; 16 rows: 135 GFLOP/s against 98 by tiles of f32, 64: 172 against 182),
const FEW_VECTORS: usize = 32;
/// in f32 (AVX-512; 8 rows: 39 against 71),
const FEW_FLOATS: usize = 4;
/// and by whatever else there is, instead of being widened first.
const FEW: usize = 16;

/// Takes `(row, first column, one piece for each weight)`.
pub type Sink<'s> = dyn Fn(usize, usize, &[&[f32]]) + Sync + 's;

/// How products are computed.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a> {
    /// Threads.
    pub pool: &'a Pool,
    /// Instruction set.
    pub isa: Isa,
    /// Rounding of activations.
    pub arithmetic: Arithmetic,
}

/// Computes `x·wᵀ` for each of `weights` ([out, inner], all of one shape) and hands the results out in pieces:
/// `sink(row, first column, one piece for each weight)`. Pieces come from several threads, each element once.
///
/// # Panics
/// When the lengths do not fit.
pub fn matmul(product: Product<'_>, x: &[f32], inner: usize, weights: &[View<'_>], sink: &Sink<'_>) {
    let rows = x.len() / inner;
    let Some(columns) = weights.first().map(|w| w.len() / inner) else { return };
    assert!(weights.iter().all(|w| w.len() == columns * inner), "weights of one shape");
    if rows == 0 {
        return;
    }
    let job = Job { product, x, inner, rows, columns, weights, sink };
    #[cfg(target_arch = "x86_64")]
    if product.arithmetic == Arithmetic::Fast && product.isa.0 >= Level::Avx2 {
        // SAFETY: an `Isa` is only made on a machine that has it.
        if unsafe { job.integers() } {
            return;
        }
    }
    // Those that the vector kernels read as they are stored.
    let small = weights.iter().all(|w| matches!(w, View::BF16(_) | View::Grouped(_)));
    let pairs = product.arithmetic == Arithmetic::Fast
        && product.isa.0 == Level::Avx512Bf16
        && small
        && inner.is_multiple_of(2);
    let few = match product.isa.0 {
        _ if pairs => FEW_PAIRS,
        Level::Avx512 | Level::Avx512Bf16 if small => FEW_VECTORS,
        Level::Avx512 | Level::Avx512Bf16 => FEW_FLOATS,
        _ => FEW,
    };
    #[cfg(target_arch = "x86_64")]
    if pairs && (SEVERAL..=few).contains(&rows) && weights.iter().all(|w| matches!(w, View::BF16(_))) {
        // SAFETY: an `Isa` is only made on a machine that has it.
        return unsafe { job.few_pairs() };
    }
    if rows <= few {
        return job.stream();
    }
    #[cfg(target_arch = "x86_64")]
    if pairs {
        // SAFETY: an `Isa` is only made on a machine that has it.
        return unsafe { job.pairs() };
    }
    #[cfg(target_arch = "x86_64")]
    if product.isa.0 >= Level::Avx512 {
        // SAFETY: as above.
        return unsafe { job.floats() };
    }
    job.widen();
}

pub(super) struct Job<'j> {
    pub(super) product: Product<'j>,
    pub(super) x: &'j [f32],
    pub(super) inner: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) weights: &'j [View<'j>],
    pub(super) sink: &'j Sink<'j>,
}

impl Job<'_> {
    /// Calls `panel(results, scratch of this length, from, to)` for each panel of columns; results are [weight, row,
    /// column]. Then hands them out.
    pub(super) fn panels(
        &self,
        extra: usize,
        panel: impl Fn(&mut [f32], &mut [f32], usize, usize) + Sync + Send,
    ) {
        let pool = self.product.pool;
        pool.each(self.columns.div_ceil(PANEL), |i| {
            let (from, to) = (i * PANEL, self.columns.min((i + 1) * PANEL));
            let len = self.weights.len() * self.rows * (to - from);
            pool.scratch(len + extra, |scratch| {
                let (scratch, results) = scratch.split_at_mut(extra);
                panel(results, scratch, from, to);
                self.hand_out(results, to - from, from);
            });
        });
    }

    /// Few rows: each weight goes from memory through registers once.
    fn stream(&self) {
        self.panels(self.x.len(), |results, scratch, from, to| {
            for (result, w) in results.chunks_exact_mut(self.rows * (to - from)).zip(self.weights) {
                let w = w.part(from * self.inner, to * self.inner);
                gemv(self.product.isa, self.x, w, self.inner, result, scratch);
            }
        });
    }

    /// Many rows: a panel of the weight is widened to f32 and multiplied by the `gemm` crate. (With AVX-512 that is at 138 to
    /// 181 GFLOP/s, tiles at 205: 310 rows, 2048 to 8192.)
    fn widen(&self) {
        let inner = self.inner;
        self.panels(PANEL * inner, |results, scratch, from, to| {
            let width = to - from;
            for (result, w) in results.chunks_exact_mut(self.rows * width).zip(self.weights) {
                let w = match w.part(from * inner, to * inner) {
                    View::F32(w) => w,
                    part => {
                        let wide = &mut scratch[..width * inner];
                        part.widen(wide);
                        &*wide
                    }
                };
                let out = MatrixMut { data: result, row_stride: width };
                let (x, w) = (Matrix::rows(self.x, inner), Matrix::rows(w, inner).transposed());
                gemm(self.rows, width, inner, out, false, x, w);
            }
        });
    }

    /// Passes the rows of a panel to the sink.
    fn hand_out(&self, results: &[f32], width: usize, from: usize) {
        let piece = |i: usize, row: usize| &results[(i * self.rows + row) * width..][..width];
        for row in 0..self.rows {
            match self.weights.len() {
                1 => (self.sink)(row, from, &[piece(0, row)]),
                2 => (self.sink)(row, from, &[piece(0, row), piece(1, row)]),
                n => (self.sink)(row, from, &(0..n).map(|i| piece(i, row)).collect::<Vec<_>>()),
            }
        }
    }
}
