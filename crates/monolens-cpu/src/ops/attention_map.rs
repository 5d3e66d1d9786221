//! Attention probabilities, averaged over the query heads.

use super::paged::Pages;
use super::softmax::softmax;
use crate::frame::Frame;
use crate::kernels::dot;
use crate::state::States;
use monolens_graph::ops::AttentionMap;

pub(super) fn run(op: &AttentionMap, frame: &Frame<'_>, states: &States, out: &mut [f32]) {
    let Some(keys) = frame.state(states, 3) else { return };
    let (queries, infos, width) = (frame.f32s(0), frame.row_infos(1), frame.width(0));
    let pages = Pages { table: frame.u32s(2), per_sequence: frame.width(2) };
    let context = frame.out_sizes()[1];
    let (heads, d) = (op.heads, op.heads.size);
    let (pool, isa) = (frame.product.pool, frame.product.isa);
    pool.rows(out, context, |row, out| {
        out.fill(0.0);
        let info = infos[row];
        let count = info.position as usize + 1;
        pool.scratch(count, |scores| {
            for head in 0..heads.query {
                let q = &queries[row * width + head * d..][..d];
                let kv_head = head / heads.group();
                pages.each(info.sequence, 0, count, |key, slot, n| {
                    for i in 0..n {
                        scores[key + i] = op.scale * dot(isa, q, keys.head(&heads, slot + i, kv_head));
                    }
                });
                softmax(isa, scores);
                let share = 1.0 / heads.query as f32;
                out.iter_mut().zip(&*scores).for_each(|(y, p)| *y += share * p);
            }
        });
    });
}
