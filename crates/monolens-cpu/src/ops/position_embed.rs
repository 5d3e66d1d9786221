//! Adds position embeddings, and puts a class token in front of each tile.

use crate::frame::Frame;
use monolens_graph::ops::PositionEmbed;

pub(super) fn run(op: &PositionEmbed, frame: &Frame<'_>, out: &mut [f32]) {
    let (x, sizes) = (frame.f32s(0), frame.sizes(0));
    let (n, width) = (sizes[1], sizes[2]);
    let table = frame.weight(op.table);
    let class = op.class.map(|id| frame.vector(id));
    let rows = n + usize::from(class.is_some());
    frame.product.pool.rows(out, width, |row, out| {
        let (tile, token) = (row / rows, row % rows);
        // Row 0 of the table is the class token's.
        let (source, position) = match class {
            Some(class) if token == 0 => (class, 0),
            _ => {
                let patch = token - usize::from(class.is_some());
                (&x[(tile * n + patch) * width..][..width], patch + 1)
            }
        };
        table.part(position * width, (position + 1) * width).widen(out);
        out.iter_mut().zip(source).for_each(|(y, x)| *y += x);
    });
}
