//! Attention without a mask inside each tile.

use super::attention::cut;
use super::softmax::softmax;
use crate::frame::Frame;
use crate::kernels::{Matrix, MatrixMut, SharedRows, gemm};
use monolens_graph::ops::TileAttention;

/// Query rows of a task.
const BLOCK: usize = 64;

pub(super) fn run(op: &TileAttention, frame: &Frame<'_>, out: &mut [f32]) {
    let (x, sizes) = (frame.f32s(0), frame.sizes(0));
    let (tiles, n, stride) = (sizes[0], sizes[1], sizes[2]);
    let width = stride / 3;
    let d = width / op.heads;
    let blocks = n.div_ceil(BLOCK);
    let out = SharedRows::new(out, width);
    let pool = frame.product.pool;
    pool.each(tiles * op.heads * blocks, |task| {
        let (tile, head, block) = (task / blocks / op.heads, task / blocks % op.heads, task % blocks);
        let rows = BLOCK.min(n - block * BLOCK);
        let tile = &x[tile * n * stride..][..n * stride];
        let part =
            |which: usize, row: usize| Matrix::rows(&tile[row * stride + which * width + head * d..], stride);
        pool.scratch(rows * (n + d), |scratch| {
            let [scores, result] = cut(scratch, [rows * n, rows * d]);
            let to = MatrixMut { data: &mut *scores, row_stride: n };
            gemm(rows, n, d, to, false, part(0, block * BLOCK), part(1, 0).transposed());
            for scores in scores.chunks_exact_mut(n) {
                scores.iter_mut().for_each(|s| *s *= op.scale);
                softmax(frame.product.isa, scores);
            }
            let to = MatrixMut { data: &mut *result, row_stride: d };
            gemm(rows, d, n, to, false, Matrix::rows(scores, n), part(2, 0));
            for (i, result) in result.chunks_exact(d).enumerate() {
                let row = (task / blocks / op.heads) * n + block * BLOCK + i;
                // SAFETY: each task has its own rows and head.
                unsafe { out.part(row, head * d, d) }.copy_from_slice(result);
            }
        });
    });
}
