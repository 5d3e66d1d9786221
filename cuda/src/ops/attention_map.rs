use super::Lower;
use super::attention::pages;
use super::lower::kv_define;
use crate::gpu::Argument;
use crate::program::{Launches, blocks, word};
use monolens_graph::ops::AttentionMap;
use monolens_graph::{Axis, BackendError, Lowering, Node};

/// Threads of a block, as in `attention_map.cu`.
const THREADS: u32 = 128;

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &AttentionMap) -> Result<Launches, BackendError> {
    let [q, rows, table, k] = node.inputs[..] else {
        return Err(cx.error(node, "four inputs are needed"));
    };
    let define = kv_define(cx.state_dtype(node, k)?);
    let kernel = cx.typed_kernel("attention_map", define, "attention_map")?;
    let result = cx.result(node)?;
    let [q, rows, table, k] = [q, rows, table, k].map(|id| cx.place(id));
    let [query, kv, size] = [op.heads.query, op.heads.kv, op.heads.size].map(word);
    let scale = Argument::Float(op.scale);
    Ok(Box::new(move |run, out| {
        let n = run.axes.get(Axis::Rows);
        let context = word(run.axes.get(Axis::Context));
        let [info, pages, sizes] = pages(run, &rows, &table);
        let [result, q, k] = [&result, &q, &k].map(|place| run.at(place));
        let arguments = [result, q, k, info, pages, sizes, word(n), query, kv, size, scale, context];
        out.launch(kernel, blocks(n), THREADS, &arguments);
    }))
}
