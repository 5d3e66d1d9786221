//! Folds s×s neighbouring patches into the channels of one token.

use crate::frame::Frame;
use monolens_graph::ops::{PixelShuffle, TokenOrder};

pub(super) fn run(op: &PixelShuffle, frame: &Frame<'_>, out: &mut [f32]) {
    let (x, sizes) = (frame.f32s(0), frame.sizes(0));
    let (patches, channels) = (sizes[1], sizes[2]);
    let (side, s) = (op.side, op.scale);
    let tokens_a_side = side / s;
    let tokens = tokens_a_side * tokens_a_side;
    frame.product.pool.rows(out, s * s * channels, |row, out| {
        let (tile, token) = (row / tokens, row % tokens);
        let (slow, fast) = (token / tokens_a_side, token % tokens_a_side);
        let (r, c) = match op.order {
            TokenOrder::RowMajor => (slow, fast),
            TokenOrder::ColumnMajor => (fast, slow),
        };
        for (i, out) in out.chunks_exact_mut(channels).enumerate() {
            let (di, dj) = (i / s, i % s);
            let patch = usize::from(op.skip_class) + (s * r + di) * side + s * c + dj;
            out.copy_from_slice(&x[(tile * patches + patch) * channels..][..channels]);
        }
    });
}
