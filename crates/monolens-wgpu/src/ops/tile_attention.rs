use super::Lower;
use super::attention::COLUMNS;
use crate::program::{Launch, Launches};
use monolens_graph::{BackendError, Lowering, Node, ops::TileAttention};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &TileAttention) -> Result<Launches, BackendError> {
    let places = vec![cx.result(node)?, cx.place(node.inputs[0])];
    let kernel = cx.kernel("tile_attention", &[], places, &[0]);
    let shape = cx.shape(node.inputs[0]).clone();
    let (heads, scale) = (op.heads, op.scale.to_bits());
    Ok(Box::new(move |axes, out| {
        let [tiles, rows, width] = shape.sizes(axes)[..] else { return };
        let width = width / 3;
        let size = width / heads;
        let blocks = rows.div_ceil(16);
        let words = [rows as u32, width as u32, size as u32, blocks as u32, scale];
        let grid = [(blocks * tiles) as u32, heads as u32, size.div_ceil(COLUMNS) as u32];
        let work = 4.0 * (tiles * rows) as f64 * width as f64 * rows as f64;
        out.push(Launch::new(kernel, &words, grid).work(work));
    }))
}
