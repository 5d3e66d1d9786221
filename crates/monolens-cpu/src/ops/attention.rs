//! Causal grouped-query attention over the paged KV cache.
//!
//! A block of queries of one sequence goes past its keys in chunks with a running maximum and sum (online softmax): both
//! products are matrix products. A single row, as in decoding, is in `attention_row.rs`.

use super::attention_row::Rows;
use super::paged::Pages;
use super::softmax::largest;
use crate::frame::Frame;
use crate::kernels::{Matrix, MatrixMut, SharedRows, exponentials, gemm};
use crate::state::{State, States};
use monolens_graph::batch::RowInfo;
use monolens_graph::ops::{Attention, Heads};

/// Keys of a chunk, a multiple of the page size.
const CHUNK: usize = 128;

/// Rows that go past the keys together; the query blocks of a batch are smaller, as suits a GPU.
const ROWS: usize = 64;

/// All that does not depend on the block.
pub(super) struct Attend<'a> {
    pub(super) frame: &'a Frame<'a>,
    pub(super) heads: Heads,
    pub(super) scale: f32,
    queries: &'a [f32],
    pub(super) infos: &'a [RowInfo],
    pub(super) pages: Pages<'a>,
    pub(super) keys: &'a State,
    pub(super) values: &'a State,
    out: SharedRows<'a>,
}

pub(super) fn run(op: &Attention, frame: &Frame<'_>, states: &States, out: &mut [f32]) {
    let (Some(k), Some(v)) = (frame.state(states, 4), frame.state(states, 5)) else { return };
    let attend = Attend {
        frame,
        heads: op.heads,
        scale: op.scale,
        queries: frame.f32s(0),
        infos: frame.row_infos(1),
        pages: Pages { table: frame.u32s(2), per_sequence: frame.width(2) },
        keys: k,
        values: v,
        out: SharedRows::new(out, op.heads.query_width()),
    };
    let (single, blocks): (Vec<_>, Vec<_>) =
        joined(frame.u32s(3), attend.infos).into_iter().partition(|&(_, count)| count == 1);
    frame.product.pool.each(blocks.len() * op.heads.kv, |task| {
        // Later blocks have more keys: they go first, so that threads end together.
        let (first, count) = blocks[blocks.len() - 1 - task / op.heads.kv];
        attend.block(first, count, task % op.heads.kv);
    });
    Rows::new(&attend, single.into_iter().map(|(row, _)| row)).run();
}

/// The query blocks as (first row, rows), neighbours of one sequence put together.
fn joined(blocks: &[u32], infos: &[RowInfo]) -> Vec<(usize, usize)> {
    let mut all: Vec<(usize, usize)> = Vec::new();
    for (first, count) in blocks.chunks_exact(2).map(|b| (b[0] as usize, b[1] as usize)) {
        match all.last_mut() {
            _ if count == 0 => {}
            Some((start, rows))
                if *start + *rows == first
                    && *rows + count <= ROWS
                    && infos[*start].sequence == infos[first].sequence =>
            {
                *rows += count;
            }
            _ => all.push((first, count)),
        }
    }
    all
}

impl Attend<'_> {
    /// All heads of a row's query.
    pub(super) fn queries(&self, row: usize) -> &[f32] {
        &self.queries[row * self.heads.query_width()..][..self.heads.query_width()]
    }

    /// All heads of a row's result.
    ///
    /// # Safety
    /// No other part of the row is in use.
    #[allow(clippy::mut_from_ref, reason = "callers have rows of their own")]
    pub(super) unsafe fn result(&self, row: usize) -> &mut [f32] {
        // SAFETY: as the caller promises.
        unsafe { self.out.part(row, 0, self.heads.query_width()) }
    }

    /// The query heads of one kv head in a block of rows.
    fn block(&self, first: usize, count: usize, kv_head: usize) {
        let (group, d) = (self.heads.group(), self.heads.size);
        let infos = &self.infos[first..first + count];
        let sequence = infos[0].sequence;
        let keys = infos.iter().map(|i| i.position as usize + 1).max().unwrap_or(0);
        let n = count * group;
        let isa = self.frame.product.isa;
        let sizes = [n * d, n * d, n * CHUNK, CHUNK * d, CHUNK * d, n, n];
        self.frame.product.pool.scratch(sizes.iter().sum(), |scratch| {
            let [q, sum_v, scores, k, v, most, total] = cut(scratch, sizes);
            for (i, q) in q.chunks_exact_mut(d).enumerate() {
                let head = kv_head * group + i % group;
                q.copy_from_slice(&self.queries(first + i / group)[head * d..][..d]);
            }
            sum_v.fill(0.0);
            most.fill(f32::NEG_INFINITY);
            total.fill(0.0);
            for from in (0..keys).step_by(CHUNK) {
                let to = keys.min(from + CHUNK);
                let width = to - from;
                self.pages.each(sequence, from, to, |key, slot, n| {
                    for i in 0..n {
                        let at = (key - from + i) * d;
                        self.keys.head(&self.heads, slot + i, kv_head).widen(&mut k[at..at + d]);
                        self.values.head(&self.heads, slot + i, kv_head).widen(&mut v[at..at + d]);
                    }
                });
                let out = MatrixMut { data: &mut *scores, row_stride: CHUNK };
                gemm(n, width, d, out, false, Matrix::rows(q, d), Matrix::rows(k, d).transposed());
                for i in 0..n {
                    let seen = (infos[i / group].position as usize + 1).saturating_sub(from).min(width);
                    let (scores, masked) = scores[i * CHUNK..][..width].split_at_mut(seen);
                    masked.fill(0.0);
                    if seen == 0 {
                        continue;
                    }
                    scores.iter_mut().for_each(|s| *s *= self.scale);
                    let now = most[i].max(largest(scores));
                    let shrink = (most[i] - now).exp();
                    total[i] = total[i] * shrink + exponentials(isa, scores, now);
                    sum_v[i * d..][..d].iter_mut().for_each(|y| *y *= shrink);
                    most[i] = now;
                }
                let out = MatrixMut { data: &mut *sum_v, row_stride: d };
                gemm(n, d, width, out, true, Matrix::rows(scores, CHUNK), Matrix::rows(v, d));
            }
            for (i, sum_v) in sum_v.chunks_exact(d).enumerate() {
                let head = kv_head * group + i % group;
                // SAFETY: each task has its own rows and heads.
                let out = unsafe { self.out.part(first + i / group, head * d, d) };
                out.iter_mut().zip(sum_v).for_each(|(y, s)| *y = s / total[i]);
            }
        });
    }
}

/// Cuts a buffer into parts of the given sizes.
pub(super) fn cut<const N: usize>(mut buffer: &mut [f32], sizes: [usize; N]) -> [&mut [f32]; N] {
    sizes.map(|size| {
        let (part, rest) = std::mem::take(&mut buffer).split_at_mut(size);
        buffer = rest;
        part
    })
}
