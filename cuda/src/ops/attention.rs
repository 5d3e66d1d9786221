use super::Lower;
use super::lower::kv_define;
use crate::Arithmetic;
use crate::gpu::Argument;
use crate::program::{Launches, Place, Run, blocks, word};
use monolens_graph::ops::{Attention, Heads};
use monolens_graph::{Axes, Axis, BackendError, DType, Lowering, Node};

/// Blocks that the split keys of a decode step should make.
const GROUPS: usize = 512;
/// Keys of a split at least.
const SPLIT_KEYS: usize = 128;
/// Query heads that a block of `attention_split.cu` does, and its threads.
const SPLIT_HEADS: usize = 2;
const SPLIT_THREADS: u32 = 128;
/// The widest head that `attention_split.cu` does.
const SPLIT_COLUMNS: usize = 256;
/// Columns of a result that a block of `exact` makes, and its threads (`shared/flash.cuh`).
pub(super) const COLUMNS: usize = 128;
pub(super) const EXACT_THREADS: u32 = 128;
/// The widest head that tensor cores do, and warps of a block at most.
pub(super) const TENSOR_COLUMNS: usize = 128;
const TENSOR_WARPS: usize = 4;

/// How many splits of the keys, for this many blocks without splits. A power of two, so that it seldom changes while a
/// sequence grows.
fn splits(axes: &Axes, rows_heads: usize) -> usize {
    let context = axes.get(Axis::Context).max(1);
    let wanted = (GROUPS / rows_heads.max(1)).clamp(1, context.div_ceil(SPLIT_KEYS));
    (wanted / 2 + 1).next_power_of_two()
}

/// The entry for a head size among those compiled for `sizes` columns.
pub(super) fn entry(prefix: &str, sizes: &[usize], size: usize) -> String {
    let columns = sizes.iter().find(|&&columns| size <= columns).or(sizes.last());
    format!("{prefix}_{}", columns.copied().unwrap_or(size))
}

/// Shared memory of `flash_tensor` in `shared/flash.cuh`.
pub(super) fn tensor_bytes(size: usize, warps: usize) -> u32 {
    let columns = if size <= 64 { 64 } else { 128 };
    ((2 * 64 + 2 * 16 * warps) * (columns + 8) * 2) as u32
}

/// `Pages` of `shared/paged.cuh`.
pub(super) fn pages(run: &Run<'_>, rows: &Place, table: &Place) -> [Argument; 3] {
    [run.at(rows), run.at(table), run.sizes()]
}

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &Attention) -> Result<Launches, BackendError> {
    let [q, rows, table, query_blocks, k, v] = node.inputs[..] else {
        return Err(cx.error(node, "six inputs are needed"));
    };
    let heads = op.heads;
    let kv = cx.kv_dtype(node, k, v)?;
    let define = kv_define(kv);
    let with_tensors =
        cx.how.arithmetic == Arithmetic::Fast && kv != DType::F32 && heads.size <= TENSOR_COLUMNS;
    let many = if with_tensors { entry("tensor", &[64, 128], heads.size) } else { "exact".into() };
    let many = cx.typed_kernel("attention", define, &many)?;
    let single = entry("split", &[64, 128, 256], heads.size);
    let single = cx.typed_kernel("attention_split", define, &single)?;
    let combine = cx.kernel("attention_combine", "attention_combine")?;
    let parts = cx.scratch(GROUPS * SPLIT_HEADS * (heads.size + 2) * 4);
    let result = cx.result(node)?;
    let [q, rows, table, query_blocks, k, v] = [q, rows, table, query_blocks, k, v].map(|id| cx.place(id));
    let scale = Argument::Float(op.scale);
    let [query_heads, kv_heads, size] = [heads.query, heads.kv, heads.size].map(word);
    let grid = if with_tensors { tensor_grid } else { exact_grid };
    Ok(Box::new(move |run, out| {
        let n = run.axes.get(Axis::Rows);
        let number = run.axes.get(Axis::QueryBlocks);
        let [info, pages, sizes] = pages(run, &rows, &table);
        let [q, k, v] = [&q, &k, &v].map(|place| run.at(place));
        if number != n || heads.size > SPLIT_COLUMNS {
            let result = run.at(&result);
            let (grid, threads, bytes) = grid(&heads, number);
            let blocks = run.at(&query_blocks);
            let arguments = [result, q, k, v, info, pages, sizes, blocks, query_heads, kv_heads, size, scale];
            out.launch_with(many, grid, threads, bytes, &arguments);
            return;
        }
        let groups = n * heads.kv * heads.group().div_ceil(SPLIT_HEADS);
        let splits = splits(run.axes, groups);
        let to = run.at(if splits == 1 { &result } else { &parts });
        let columns = if heads.size <= 64 { 64 } else { heads.size.next_power_of_two() };
        let bytes = SPLIT_HEADS * (SPLIT_THREADS as usize / 32) * (columns + 2) * 4;
        let arguments = [to, q, k, v, info, pages, sizes, query_heads, kv_heads, size, scale, word(splits)];
        let [x, ..] = blocks(groups);
        out.launch_with(single, [x, splits as u32, 1], SPLIT_THREADS, bytes as u32, &arguments);
        if splits > 1 {
            let arguments = [run.at(&result), to, size, word(splits)];
            out.launch(combine, blocks(n * heads.query), SPLIT_THREADS, &arguments);
        }
    }))
}

/// Grid, threads and shared memory of `exact` in `attention.cu`.
fn exact_grid(heads: &Heads, number: usize) -> ([u32; 3], u32, u32) {
    let [x, ..] = blocks(number);
    ([x, heads.query as u32, heads.size.div_ceil(COLUMNS) as u32], EXACT_THREADS, 0)
}

/// Grid, threads and shared memory of `tensor_..` in `attention.cu`.
fn tensor_grid(heads: &Heads, number: usize) -> ([u32; 3], u32, u32) {
    let [x, ..] = blocks(number);
    let warps = heads.group().min(TENSOR_WARPS);
    let grid = [x, heads.kv as u32, heads.group().div_ceil(warps) as u32];
    (grid, 32 * warps as u32, tensor_bytes(heads.size, warps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_few_powers_of_two_that_fit_the_scratch() {
        for rows_heads in [1, 2, 16, 100, 512, 5000] {
            for context in [0, 1, 127, 128, 129, 1000, 4096, 33_333] {
                let number = splits(&Axes::new().with(Axis::Context, context), rows_heads);
                assert!(number.is_power_of_two());
                assert!(number == 1 || number * rows_heads <= GROUPS, "{number} of {rows_heads}");
                assert!((number - 1) * SPLIT_KEYS <= context.max(1), "a split has keys");
            }
        }
    }
}
