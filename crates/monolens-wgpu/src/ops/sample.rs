use super::Lower;
use crate::program::{Launch, Launches, Place, pieces};
use monolens_graph::{Axis, BackendError, Lowering, Node};

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    let [logits, sampling, seen] = node.inputs[..] else {
        return Err(cx.error(node, "three inputs are needed"));
    };
    let places = vec![cx.result(node)?, cx.place(logits), Place::Tables];
    let kernel = cx.kernel("sample", &[], places, &[0]);
    let vocab = cx.width(logits);
    let (sampling, seen) = (cx.table(node, sampling)?, cx.table(node, seen)?);
    Ok(Box::new(move |axes, out| {
        for (first, count) in pieces(axes.get(Axis::Samples)) {
            let words = [vocab as u32, sampling, seen, vocab.div_ceil(32) as u32, first];
            out.push(Launch::new(kernel, &words, [count, 1, 1]));
        }
    }))
}
