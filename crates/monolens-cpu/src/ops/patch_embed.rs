//! Cuts tiles into patches and projects them.

use crate::frame::{Frame, Work, at_least};
use crate::kernels::{SharedRows, matmul};
use monolens_graph::ops::PatchEmbed;

pub(super) fn run(op: &PatchEmbed, frame: &Frame<'_>, work: &mut Work, out: &mut [f32]) {
    let (pixels, sizes) = (frame.f32s(0), frame.sizes(0));
    let (side, p) = (sizes[3], op.patch);
    let grid = side / p;
    let inner = 3 * p * p;
    // One row a patch, in the order of the weight: channel, row, column.
    let patches = at_least(&mut work.rows, sizes[0] * grid * grid * inner);
    frame.product.pool.rows(patches, inner, |row, patch| {
        let (tile, at) = (row / (grid * grid), row % (grid * grid));
        let (r, c) = (at / grid, at % grid);
        for (i, line) in patch.chunks_exact_mut(p).enumerate() {
            let (channel, y) = (i / p, r * p + i % p);
            let from = ((tile * 3 + channel) * side + y) * side + c * p;
            line.copy_from_slice(&pixels[from..from + p]);
        }
    });
    let bias = frame.vector(op.bias);
    let out = SharedRows::new(out, op.width);
    matmul(frame.product, patches, inner, &[frame.weight(op.weight)], &|row, from, parts| {
        // SAFETY: each element is handed out once.
        let out = unsafe { out.part(row, from, parts[0].len()) };
        for (i, y) in out.iter_mut().enumerate() {
            *y = parts[0][i] + bias[from + i];
        }
    });
}
