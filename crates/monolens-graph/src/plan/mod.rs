//! The planner: a graph and a device's capabilities become a plan with fused nodes and memory by liveness.

mod fuse;
mod memory;
mod text_only;

use crate::{Axes, DType, Graph};
pub use memory::{Slot, SlotId};

/// What a device can do, as far as planning goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Which fused operators it has kernels for.
    pub fusions: Fusions,
    /// Largest weight part or state that one kernel can bind, in bytes; a backend splits larger weights.
    pub max_binding: u64,
    /// Type in which keys and values are best kept when the weights are not f32.
    pub kv_dtype: DType,
}

/// Fusion rules, each of which a backend may take or leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fusions {
    /// RMSNorm into the projections that read it.
    pub norm: bool,
    /// Gate, up and SwiGLU into [`crate::ops::GateUp`].
    pub gate_up: bool,
    /// Projection and RoPE into [`crate::ops::QkvRope`].
    pub qkv_rope: bool,
    /// Residual (scaled or not) and GELU into the projection before it.
    pub epilogue: bool,
}

impl Fusions {
    /// Every rule.
    pub const ALL: Self = Self { norm: true, gate_up: true, qkv_rope: true, epilogue: true };
    /// No rule: each operator by itself.
    pub const NONE: Self = Self { norm: false, gate_up: false, qkv_rope: false, epilogue: false };
}

/// A graph made ready for a device: fused, with a slot of memory for every intermediate value.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The fused graph.
    pub graph: Graph,
    /// The memory slots that intermediate values share.
    pub slots: Vec<Slot>,
    /// The slot of each value; none for inputs and states, which have buffers of their own.
    pub slot_of: Vec<Option<SlotId>>,
    /// The largest size of each axis the plan has memory for.
    pub limits: Axes,
}

impl Plan {
    /// Plans a graph for runs up to `limits`.
    pub fn new(graph: &Graph, capabilities: &Capabilities, limits: Axes) -> Self {
        let graph = fuse::fuse(graph, capabilities.fusions);
        let (slots, slot_of) = memory::assign(&graph, &limits);
        Self { graph, slots, slot_of, limits }
    }

    /// The same for batches without a visual row: visual experts and visual embeddings are not touched.
    pub fn text_only(graph: &Graph, capabilities: &Capabilities, limits: Axes) -> Self {
        Self::new(&text_only::text_only(graph), capabilities, limits)
    }

    /// Bytes of all slots: activation memory.
    pub fn slot_bytes(&self) -> usize {
        self.slots.iter().map(|s| s.bytes).sum()
    }
}
