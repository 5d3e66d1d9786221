use super::Lower;
use crate::program::{Launches, blocks, word};
use monolens_graph::{Axis, BackendError, Lowering, Node};

/// Threads of a block: one for this many logits, whole warps, at most what `sample.cu` is bounded to.
const LOGITS: usize = 32;
const MOST_THREADS: usize = 1024;

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    let [logits, sampling, seen] = node.inputs[..] else {
        return Err(cx.error(node, "three inputs are needed"));
    };
    let kernel = cx.kernel("sample", "sample")?;
    let result = cx.result(node)?;
    let vocab = cx.width(logits);
    let threads = vocab.div_ceil(LOGITS).next_multiple_of(32).min(MOST_THREADS) as u32;
    let vocab = word(vocab);
    let [logits, sampling, seen] = [logits, sampling, seen].map(|id| cx.place(id));
    Ok(Box::new(move |run, out| {
        let arguments = [run.at(&result), run.at(&logits), run.at(&sampling), run.at(&seen), vocab];
        out.launch(kernel, blocks(run.axes.get(Axis::Samples)), threads, &arguments);
    }))
}
