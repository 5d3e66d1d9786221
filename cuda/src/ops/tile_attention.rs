use super::Lower;
use super::attention::{COLUMNS, EXACT_THREADS, TENSOR_COLUMNS, entry, tensor_bytes};
use crate::Arithmetic;
use crate::gpu::Argument;
use crate::program::{Launches, blocks, word};
use monolens_graph::{BackendError, Lowering, Node, ops::TileAttention};

/// Warps of a block of `tensor_..` in `tile_attention.cu`, each with 16 rows.
const WARPS: usize = 4;

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &TileAttention) -> Result<Launches, BackendError> {
    let size = cx.width(node.inputs[0]) / 3 / op.heads;
    let with_tensors = cx.how.arithmetic == Arithmetic::Fast && size <= TENSOR_COLUMNS;
    let name = if with_tensors { entry("tensor", &[64, 128], size) } else { "exact".into() };
    let kernel = cx.kernel("tile_attention", &name)?;
    let (result, qkv) = (cx.result(node)?, cx.place(node.inputs[0]));
    let shape = cx.shape(node.inputs[0]).clone();
    let (heads, scale) = (op.heads, Argument::Float(op.scale));
    let rows_a_block = if with_tensors { 16 * WARPS } else { 16 };
    Ok(Box::new(move |run, out| {
        let [tiles, rows, width] = shape.sizes(run.axes)[..] else { return };
        let a_tile = rows.div_ceil(rows_a_block);
        let [x, ..] = blocks(tiles * a_tile);
        let sizes = [rows, width / 3, size, a_tile].map(word);
        let arguments = [run.at(&result), run.at(&qkv), sizes[0], sizes[1], sizes[2], sizes[3], scale];
        if with_tensors {
            let bytes = tensor_bytes(size, WARPS);
            out.launch_with(kernel, [x, heads as u32, 1], 32 * WARPS as u32, bytes, &arguments);
        } else {
            let grid = [x, heads as u32, size.div_ceil(COLUMNS) as u32];
            out.launch(kernel, grid, EXACT_THREADS, &arguments);
        }
    }))
}
