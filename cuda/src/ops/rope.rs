use super::Lower;
use crate::gpu::Argument;
use crate::program::{Launches, Place, Run, THREADS, blocks, threads, word};
use monolens_graph::ops::{Heads, QkvLayout, Rope};
use monolens_graph::{Axis, BackendError, DType, Lowering, Node};

/// Threads of a block of `rope_eight`, a warp a head.
const EIGHT_THREADS: u32 = 128;

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
    let eight = cx.kv_dtype(node, node.inputs[3], node.inputs[4])? == DType::I8;
    let kernel = cx.kernel("rope", if eight { "rope_eight" } else { "rope" })?;
    let rotation = Rotation::new(cx, node, heads, layout)?;
    let (width, size) = (heads.qkv_width(), heads.size);
    Ok(Box::new(move |run, out| {
        let elements = run.axes.get(Axis::Rows) * width;
        let count = elements / if eight { size } else { 2 };
        let own = [run.at(&qkv), word(count)];
        let arguments: Vec<Argument> = rotation.arguments(run).chain(own).collect();
        match eight {
            true => out.launch(kernel, blocks(count.div_ceil(4)), EIGHT_THREADS, &arguments),
            false => out.launch(kernel, threads(count), THREADS, &arguments),
        }
    }))
}
