use super::Lower;
use crate::gpu::Argument;
use crate::program::{Launches, Place, Run, THREADS, threads, word};
use monolens_graph::ops::{Heads, QkvLayout, Rope};
use monolens_graph::{Axis, BackendError, DType, Lowering, Node};

/// `Rotation` of `shared/rotate.cuh`.
pub(super) struct Rotation {
    places: [Place; 5],
    words: [Argument; 5],
}

impl Rotation {
    /// Of a node whose inputs from 1 on are rows, angles, keys and values.
    pub fn new(cx: &Lower<'_>, node: &Node, heads: &Heads, layout: QkvLayout) -> Result<Self, BackendError> {
        let [_, rows, angles, keys, values, ..] = node.inputs[..] else {
            return Err(cx.error(node, "five inputs are needed"));
        };
        let bf16 = cx.kv_dtype(node, keys, values)? == DType::BF16;
        let concatenated = layout == QkvLayout::Concatenated;
        let [keys, values, rows, angles] = [keys, values, rows, angles].map(|id| cx.place(id));
        Ok(Self {
            places: [cx.result(node)?, keys, values, rows, angles],
            words: [heads.query, heads.kv, heads.size, concatenated.into(), bf16.into()].map(word),
        })
    }

    pub fn arguments(&self, run: &Run<'_>) -> impl Iterator<Item = Argument> {
        let places = self.places.each_ref().map(|place| run.at(place));
        places.into_iter().chain(self.words)
    }
}

pub(super) fn lower(cx: &mut Lower<'_>, node: &Node, op: &Rope) -> Result<Launches, BackendError> {
    launches(cx, node, &op.heads, op.layout, cx.place(node.inputs[0]))
}

/// The same from queries, keys and values at any place.
pub(super) fn launches(
    cx: &Lower<'_>,
    node: &Node,
    heads: &Heads,
    layout: QkvLayout,
    qkv: Place,
) -> Result<Launches, BackendError> {
    let kernel = cx.kernel("rope", "rope")?;
    let rotation = Rotation::new(cx, node, heads, layout)?;
    let half = heads.qkv_width() / 2;
    Ok(Box::new(move |run, out| {
        let pairs = run.axes.get(Axis::Rows) * half;
        let own = [run.at(&qkv), word(pairs)];
        let arguments: Vec<Argument> = rotation.arguments(run).chain(own).collect();
        out.launch(kernel, threads(pairs), THREADS, &arguments);
    }))
}
