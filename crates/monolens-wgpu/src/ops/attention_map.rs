use super::Lower;
use super::lower::feature;
use crate::program::{Launch, Launches, Place, pieces};
use monolens_graph::ops::AttentionMap;
use monolens_graph::{Axis, BackendError, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &AttentionMap) -> Result<Launches, BackendError> {
    let [q, rows, pages, k] = node.inputs[..] else {
        return Err(cx.error(node, "four inputs are needed"));
    };
    let kv = feature(cx.state_dtype(node, k)?);
    let places = vec![cx.result(node)?, cx.place(q), Place::Tables, cx.place(k)];
    let kernel = cx.kernel("attention_map", &[kv], places, &[0]);
    let (rows, pages) = (cx.table(node, rows)?, cx.table(node, pages)?);
    let (heads, scale) = (op.heads, op.scale.to_bits());
    Ok(Box::new(move |axes, out| {
        let per_sequence = axes.get(Axis::PagesPerSequence) as u32;
        let context = axes.get(Axis::Context);
        for (first, count) in pieces(axes.get(Axis::Rows)) {
            let words = [
                heads.query as u32,
                heads.kv as u32,
                heads.size as u32,
                scale,
                rows,
                pages,
                per_sequence,
                context as u32,
                first,
            ];
            // Scores are computed three times.
            let work = 6.0 * f64::from(count) * heads.query_width() as f64 * context as f64;
            out.push(Launch::new(kernel, &words, [count, 1, 1]).work(work));
        }
    }))
}
