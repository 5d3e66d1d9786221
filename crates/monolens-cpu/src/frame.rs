//! What an operator is given when it runs.

use crate::kernels::{Product, View};
use crate::state::{State, States};
use crate::weight::Weight;
use monolens_graph::batch::{ROUTE_BLOCK, RowInfo};
use monolens_graph::ops::RmsNorm;
use monolens_graph::{Axes, Graph, Node, Routed, WeightId};

/// A value that is there: an input or what a node made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slice<'a> {
    F32(&'a [f32]),
    U32(&'a [u32]),
}

impl<'a> Slice<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::F32(v) => bytemuck::cast_slice(v),
            Self::U32(v) => bytemuck::cast_slice(v),
        }
    }
}

/// Bytes of an input as elements, copied only if they lie askew in memory.
pub(crate) fn cast<T: bytemuck::Pod>(bytes: &[u8]) -> std::borrow::Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(v) => v.into(),
        Err(_) => bytemuck::allocation::pod_collect_to_vec(bytes).into(),
    }
}

/// Buffers that operators use and leave behind.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Rows gathered or normalised for a product.
    pub(crate) rows: Vec<f32>,
    /// A whole intermediate result.
    pub(crate) wide: Vec<f32>,
    /// Row numbers of a modality.
    pub(crate) index: Vec<u32>,
}

impl Work {
    pub(crate) fn bytes(&self) -> usize {
        4 * (self.rows.capacity() + self.wide.capacity() + self.index.capacity())
    }
}

/// A buffer's first `len` elements, of any content; it grows as needed.
pub(crate) fn at_least(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// One node of a run. Shapes have been checked when the graph was built, indices before the run.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) node: &'a Node,
    pub(crate) axes: &'a Axes,
    pub(crate) product: Product<'a>,
    /// By value id.
    pub(crate) values: &'a [Option<Slice<'a>>],
    /// By value id.
    pub(crate) state_of: &'a [Option<usize>],
    pub(crate) weights: &'a [Weight],
    /// By weight id.
    pub(crate) weight_of: &'a [Option<usize>],
}

impl<'a> Frame<'a> {
    /// Input `i` as f32.
    pub(crate) fn f32s(&self, i: usize) -> &'a [f32] {
        match self.values[self.node.inputs[i].0] {
            Some(Slice::F32(v)) => v,
            _ => &[],
        }
    }

    /// Input `i` as u32.
    pub(crate) fn u32s(&self, i: usize) -> &'a [u32] {
        match self.values[self.node.inputs[i].0] {
            Some(Slice::U32(v)) => v,
            _ => &[],
        }
    }

    /// Input `i` as rows of the batch.
    pub(crate) fn row_infos(&self, i: usize) -> &'a [RowInfo] {
        bytemuck::cast_slice(self.u32s(i))
    }

    /// Sizes of input `i`.
    pub(crate) fn sizes(&self, i: usize) -> Vec<usize> {
        self.graph.value(self.node.inputs[i]).shape.sizes(self.axes)
    }

    /// Row width of input `i`.
    pub(crate) fn width(&self, i: usize) -> usize {
        self.sizes(i).last().copied().unwrap_or(0)
    }

    /// Row width of the result.
    pub(crate) fn out_width(&self) -> usize {
        self.node.output.and_then(|id| self.graph.value(id).shape.width()).unwrap_or(0)
    }

    /// A weight as stored.
    pub(crate) fn weight(&self, id: WeightId) -> View<'a> {
        self.weight_of[id.0].map_or(View::F32(&[]), |i| self.weights[i].view())
    }

    /// A weight that is a vector.
    pub(crate) fn vector(&self, id: WeightId) -> &'a [f32] {
        self.weight_of[id.0].map_or(&[], |i| self.weights[i].vector())
    }

    /// Weight and eps of a norm.
    pub(crate) fn norm(&self, norm: Option<RmsNorm>) -> Option<(&'a [f32], f32)> {
        norm.map(|n| (self.vector(n.weight), n.eps))
    }

    /// The state that is input `i`.
    pub(crate) fn state<'s>(&self, states: &'s States, i: usize) -> Option<&'s State> {
        Some(states.get(self.state_at(i)?))
    }

    /// Index of the state that is input `i`.
    pub(crate) fn state_at(&self, i: usize) -> Option<usize> {
        self.state_of[self.node.inputs[i].0]
    }
}

/// Whose rows are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modality {
    Text,
    Visual,
}

impl Modality {
    pub(crate) const ALL: [Self; 2] = [Self::Text, Self::Visual];

    /// What rows of this modality take.
    pub(crate) fn of<T: Copy>(self, routed: &Routed<T>) -> T {
        match self {
            Self::Text => routed.text,
            Self::Visual => routed.visual.unwrap_or(routed.text),
        }
    }

    /// The rows of this modality, block by block, out of the routing table.
    pub(crate) fn rows(self, routing: &[u32], rows: &mut Vec<u32>) {
        rows.clear();
        for block in routing.chunks_exact(1 + ROUTE_BLOCK) {
            let (text, visual) = ((block[0] & 0xffff) as usize, (block[0] >> 16) as usize);
            rows.extend_from_slice(match self {
                Self::Text => &block[1..1 + text],
                Self::Visual => &block[1 + text..1 + text + visual],
            });
        }
    }
}

impl Frame<'_> {
    /// Sizes of the result.
    pub(crate) fn out_sizes(&self) -> Vec<usize> {
        self.node.output.map_or_else(Vec::new, |id| self.graph.value(id).shape.sizes(self.axes))
    }
}
