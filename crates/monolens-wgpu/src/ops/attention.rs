use super::Lower;
use super::lower::feature;
use crate::program::{GRID, Launch, Launches, Place, spread};
use monolens_graph::ops::Attention;
use monolens_graph::{Axes, Axis, BackendError, Lowering, Node};

/// Workgroups that the split keys of a decode step should make.
const GROUPS: usize = 1024;
/// Keys of a split at least.
const SPLIT_KEYS: usize = 128;
/// Columns of a result that one workgroup makes.
pub(super) const COLUMNS: usize = 128;

/// How many splits of how many keys, for this many rows and heads.
fn splits(axes: &Axes, rows_heads: usize) -> (usize, usize) {
    let context = axes.get(Axis::Context).max(1);
    let wanted = (GROUPS / rows_heads.max(1)).clamp(1, context.div_ceil(SPLIT_KEYS));
    let keys = context.div_ceil(wanted).next_multiple_of(64);
    (context.div_ceil(keys), keys)
}

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &Attention) -> Result<Launches, BackendError> {
    let [q, rows, pages, blocks, k, v] = node.inputs[..] else {
        return Err(cx.error(node, "six inputs are needed"));
    };
    let kv = feature(cx.kv_dtype(node, k, v)?);
    let result = cx.result(node)?;
    let (heads, scale) = (op.heads, op.scale.to_bits());
    let parts = cx.scratch(GROUPS * (heads.size + 2) * 4);
    let places = |to: &Place| vec![to.clone(), cx.place(q), Place::Tables, cx.place(k), cx.place(v)];
    let (whole_places, part_places) = (places(&result), places(&parts));
    let many = cx.kernel("attention", &[kv], whole_places.clone(), &[0]);
    let single = cx.kernel("attention_split", &[kv], whole_places, &[0]);
    let split = cx.kernel("attention_split", &[kv], part_places, &[0]);
    let combine = cx.kernel("attention_combine", &[], vec![result, parts], &[0]);
    let (rows, blocks) = (cx.table(node, rows)?, cx.table(node, blocks)?);
    let pages = cx.table(node, pages)?;
    let sizes = [heads.query as u32, heads.kv as u32, heads.size as u32, scale];
    Ok(Box::new(move |axes, out| {
        let n = axes.get(Axis::Rows);
        let query_blocks = axes.get(Axis::QueryBlocks);
        let per_sequence = axes.get(Axis::PagesPerSequence) as u32;
        let columns = heads.size.div_ceil(COLUMNS) as u32;
        let rows_heads = n * heads.query;
        // Twice a product of queries and keys for the scores, the same again for the values.
        let work = 4.0 * rows_heads as f64 * heads.size as f64 * axes.get(Axis::Context) as f64;
        let [a, b, c, d] = sizes;
        if query_blocks != n || rows_heads > GRID as usize {
            let words = [a, b, c, d, rows, pages, blocks, per_sequence];
            let grid = [query_blocks as u32, heads.query as u32, columns];
            out.push(Launch::new(many, &words, grid).work(work));
            return;
        }
        let (number, keys) = splits(axes, rows_heads);
        let words = [a, b, c, d, rows, pages, per_sequence, number as u32, keys as u32];
        let grid = [rows_heads as u32, number as u32, columns];
        if number == 1 {
            out.push(Launch::new(single, &words, grid).work(work));
        } else {
            out.push(Launch::new(split, &words, grid).work(work));
            out.push(Launch::new(combine, &[c, number as u32], spread(rows_heads)));
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_cover_the_context_and_fit_the_scratch() {
        for rows_heads in [1, 2, 16, 100, 1024, 5000] {
            for context in [1, 63, 64, 65, 128, 129, 1000, 4096, 33_333] {
                let (number, keys) = splits(&Axes::new().with(Axis::Context, context), rows_heads);
                assert!(number * keys >= context);
                assert!((number - 1) * keys < context, "no split is empty");
                assert!(number == 1 || number * rows_heads <= GROUPS);
            }
        }
    }
}
