//! Products of rows with stored weights, cut into panels of columns that threads take one by one.

use super::{Matrix, MatrixMut, View, gemm, gemv};
use crate::{Arithmetic, Isa, Pool};

/// Columns of a panel.
const PANEL: usize = 128;
/// Rows up to which weights are streamed past the rows instead of being widened first.
const FEW: usize = 4;

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
    let few = rows <= FEW;
    product.pool.each(columns.div_ceil(PANEL), |panel| {
        let from = panel * PANEL;
        let to = columns.min(from + PANEL);
        let width = to - from;
        let widened = if few { 0 } else { width * inner };
        product.pool.scratch(rows * width * weights.len() + widened, |scratch| {
            let (results, wide) = scratch.split_at_mut(rows * width * weights.len());
            for (result, w) in results.chunks_exact_mut(rows * width).zip(weights) {
                let part = w.part(from * inner, to * inner);
                if few {
                    gemv(product.isa, x, part, inner, result);
                    continue;
                }
                let w = match part {
                    View::F32(w) => w,
                    other => {
                        other.widen(wide);
                        &*wide
                    }
                };
                let out = MatrixMut { data: result, row_stride: width };
                gemm(
                    rows,
                    width,
                    inner,
                    out,
                    false,
                    Matrix::rows(x, inner),
                    Matrix::rows(w, inner).transposed(),
                );
            }
            hand_out(results, rows, width, weights.len(), from, sink);
        });
    });
}

/// Passes the rows of the panels to `sink`.
fn hand_out(results: &[f32], rows: usize, width: usize, count: usize, from: usize, sink: &Sink<'_>) {
    let piece = |i: usize, row: usize| &results[(i * rows + row) * width..][..width];
    for row in 0..rows {
        match count {
            1 => sink(row, from, &[piece(0, row)]),
            2 => sink(row, from, &[piece(0, row), piece(1, row)]),
            _ => sink(row, from, &(0..count).map(|i| piece(i, row)).collect::<Vec<_>>()),
        }
    }
}
