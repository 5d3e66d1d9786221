use super::Lower;
use crate::program::{Launches, blocks, word};
use monolens_graph::{Axis, BackendError, Node};

/// Threads of a block, as in `sample.cu`.
const THREADS: u32 = 1024;

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    let [logits, sampling, seen] = node.inputs[..] else {
        return Err(cx.error(node, "three inputs are needed"));
    };
    let kernel = cx.kernel("sample", "sample")?;
    let result = cx.result(node)?;
    let vocab = word(cx.width(logits));
    let [logits, sampling, seen] = [logits, sampling, seen].map(|id| cx.place(id));
    Ok(Box::new(move |run, out| {
        let arguments = [run.at(&result), run.at(&logits), run.at(&sampling), run.at(&seen), vocab];
        out.launch(kernel, blocks(run.axes.get(Axis::Samples)), THREADS, &arguments);
    }))
}
