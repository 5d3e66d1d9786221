//! What backends with kernels share when they lower the nodes of a plan to launches.

use crate::check::StateTable;
use crate::plan::Plan;
use crate::{BackendError, DType, Node, Shape, Source, Value, ValueId, WeightFormat, WeightId};

/// Where the values of a plan are on a device, and what is known of them.
pub trait Lowering<'a> {
    /// Where a kernel's buffer is.
    type Place;

    /// The plan that is lowered.
    fn plan(&self) -> &'a Plan;

    /// The states of the device.
    fn states(&self) -> &'a dyn StateTable;

    /// How a weight is stored; none for a vector, which may be kept otherwise than it was loaded.
    ///
    /// # Errors
    /// There is none, or it has another shape than the plan says.
    fn format(&self, id: WeightId) -> Result<Option<WeightFormat>, BackendError>;

    /// A slot of activation memory.
    fn slot_place(&self, slot: usize) -> Self::Place;

    /// A state by its name.
    fn state_place(&self, name: &str) -> Self::Place;

    /// An input of the run.
    fn input_place(&self, id: ValueId) -> Self::Place;

    /// Where a value is.
    fn place(&self, id: ValueId) -> Self::Place {
        match self.plan().slot_of.get(id.0) {
            Some(Some(slot)) => self.slot_place(slot.0),
            _ => match self.value(id).source {
                Source::State => self.state_place(&self.value(id).name),
                _ => self.input_place(id),
            },
        }
    }

    /// Where a node's result goes.
    ///
    /// # Errors
    /// It has none.
    fn result(&self, node: &Node) -> Result<Self::Place, BackendError> {
        node.output.map(|id| self.place(id)).ok_or_else(|| self.error(node, "it has no result"))
    }

    /// A value.
    fn value(&self, id: ValueId) -> &'a Value {
        self.plan().graph.value(id)
    }

    /// The shape of a value.
    fn shape(&self, id: ValueId) -> &'a Shape {
        &self.value(id).shape
    }

    /// The last dimension of a value.
    fn width(&self, id: ValueId) -> usize {
        self.shape(id).width().unwrap_or(0)
    }

    /// How the matrices that one kernel reads together are stored: all alike.
    ///
    /// # Errors
    /// Names the first that is stored otherwise; or there is none.
    fn same_format(&self, ids: &[WeightId]) -> Result<WeightFormat, BackendError> {
        let graph = &self.plan().graph;
        let mut first: Option<(WeightId, WeightFormat)> = None;
        for &id in ids {
            let Some(format) = self.format(id)? else { continue };
            let (known, expected) = *first.get_or_insert((id, format));
            if format != expected {
                return Err(BackendError::Weight {
                    name: graph.weight(id).name.clone(),
                    expected: format!("{expected} like {}", graph.weight(known).name),
                    got: format.to_string(),
                });
            }
        }
        let none = || BackendError::Device(format!("{}: no matrix to project with", graph.name));
        first.map(|(_, format)| format).ok_or_else(none)
    }

    /// The type of a state that is one of a node's inputs.
    ///
    /// # Errors
    /// There is no such state.
    fn state_dtype(&self, node: &Node, id: ValueId) -> Result<DType, BackendError> {
        let name = &self.value(id).name;
        let found = self.states().state(name).map(|(dtype, ..)| dtype);
        found.ok_or_else(|| self.error(node, &format!("no state {name}")))
    }

    /// The type of the key and value states.
    ///
    /// # Errors
    /// There are none, or they are of two types.
    fn kv_dtype(&self, node: &Node, k: ValueId, v: ValueId) -> Result<DType, BackendError> {
        let (keys, values) = (self.state_dtype(node, k)?, self.state_dtype(node, v)?);
        if keys != values {
            return Err(self.error(node, &format!("keys of {keys} and values of {values}")));
        }
        Ok(keys)
    }

    /// An error of a node.
    fn error(&self, node: &Node, what: &str) -> BackendError {
        let graph = &self.plan().graph.name;
        BackendError::Device(format!("{graph}: {} ({}): {what}", node.name, node.op.name()))
    }
}

/// Calls `lower(cx, node, attributes)` of the module that is named as a node's operator; those without attributes get
/// none.
#[macro_export]
macro_rules! lower_node {
    ($cx:expr, $node:expr) => {
        match &$node.op {
            $crate::Op::Add(_) => add::lower($cx, $node),
            $crate::Op::Attention(op) => attention::lower($cx, $node, op),
            $crate::Op::AttentionMap(op) => attention_map::lower($cx, $node, op),
            $crate::Op::Embed(op) => embed::lower($cx, $node, op),
            $crate::Op::GateUp(op) => gate_up::lower($cx, $node, op),
            $crate::Op::GatherRows(_) => gather_rows::lower($cx, $node),
            $crate::Op::Gelu(_) => gelu::lower($cx, $node),
            $crate::Op::LayerNorm(op) => layer_norm::lower($cx, $node, op),
            $crate::Op::Linear(op) => linear::lower($cx, $node, op),
            $crate::Op::PatchEmbed(op) => patch_embed::lower($cx, $node, op),
            $crate::Op::PixelShuffle(op) => pixel_shuffle::lower($cx, $node, op),
            $crate::Op::PositionEmbed(op) => position_embed::lower($cx, $node, op),
            $crate::Op::QkNorm(op) => qk_norm::lower($cx, $node, op),
            $crate::Op::QkvRope(op) => qkv_rope::lower($cx, $node, op),
            $crate::Op::RmsNorm(op) => rms_norm::lower($cx, $node, op),
            $crate::Op::Rope(op) => rope::lower($cx, $node, op),
            $crate::Op::Sample(_) => sample::lower($cx, $node),
            $crate::Op::ScaledAdd(op) => scaled_add::lower($cx, $node, op),
            $crate::Op::StoreRows(_) => store_rows::lower($cx, $node),
            $crate::Op::SwiGlu(_) => swiglu::lower($cx, $node),
            $crate::Op::TileAttention(op) => tile_attention::lower($cx, $node, op),
        }
    };
}
