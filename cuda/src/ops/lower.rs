//! What lowering an operator needs: kernels, and where values and weights are.

use crate::Arithmetic;
use crate::gpu::{Argument, FunctionId, Gpu};
use crate::kernels::Unit;
use crate::program::{Launches, Place, word};
use crate::states::States;
use crate::weights::{Weight, Weights};
use monolens_graph::check::StateTable;
use monolens_graph::plan::Plan;
use monolens_graph::{BackendError, Bits, DType, Grouped, Lowering, Node, ValueId, WeightFormat, WeightId};

/// How a backend multiplies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub arithmetic: Arithmetic,
    /// Whether the vendor's library is there and may be asked.
    pub library: bool,
}

/// Lowers the nodes of one plan.
pub(crate) struct Lower<'a> {
    plan: &'a Plan,
    pub how: How,
    gpu: &'a dyn Gpu,
    weights: &'a Weights,
    states: &'a States,
    /// Bytes of the scratch slots, which nodes share, and how many of them the present node has.
    scratch: Vec<u64>,
    taken: usize,
}

impl<'a> Lower<'a> {
    pub fn new(gpu: &'a dyn Gpu, plan: &'a Plan, weights: &'a Weights, states: &'a States, how: How) -> Self {
        Self { plan, how, gpu, weights, states, scratch: Vec::new(), taken: 0 }
    }

    /// The device.
    pub fn gpu(&self) -> &'a dyn Gpu {
        self.gpu
    }

    /// The launches of a node.
    pub fn node(&mut self, node: &Node) -> Result<Launches, BackendError> {
        self.taken = 0;
        super::lower(self, node)
    }

    /// The bytes of the scratch slots behind those of the plan.
    pub fn finish(self) -> Vec<u64> {
        self.scratch
    }

    /// A kernel of a file that is compiled once for all types.
    pub fn kernel(&self, file: &'static str, entry: &str) -> Result<FunctionId, BackendError> {
        self.typed_kernel(file, "", entry)
    }

    /// A kernel of a file that is compiled for several types.
    pub fn typed_kernel(
        &self,
        file: &'static str,
        define: &'static str,
        entry: &str,
    ) -> Result<FunctionId, BackendError> {
        let found = self.gpu.function(Unit { file, define }, entry);
        found.map_err(|e| e.explain(&self.gpu.info().name))
    }

    /// A piece of memory for within a node.
    pub fn scratch(&mut self, bytes: usize) -> Place {
        if self.taken == self.scratch.len() {
            self.scratch.push(0);
        }
        let at = self.taken;
        self.taken += 1;
        self.scratch[at] = self.scratch[at].max(bytes as u64);
        Place::Slot(self.plan.slots.len() + at)
    }

    /// A weight.
    pub fn weight(&self, id: WeightId) -> Result<&'a Weight, BackendError> {
        self.weights.find(self.plan.graph.weight(id))
    }

    /// Where a weight is.
    pub fn weight_place(&self, id: WeightId) -> Result<Place, BackendError> {
        Ok(Place::Weight(self.weight(id)?.buffer.clone()))
    }

    /// Where a weight is that there may be none of.
    pub fn optional_place(&self, id: Option<WeightId>) -> Result<Place, BackendError> {
        id.map_or(Ok(Place::None), |id| self.weight_place(id))
    }
}

impl<'a> Lowering<'a> for Lower<'a> {
    type Place = Place;

    fn plan(&self) -> &'a Plan {
        self.plan
    }

    fn states(&self) -> &'a dyn StateTable {
        self.states
    }

    fn format(&self, id: WeightId) -> Result<Option<WeightFormat>, BackendError> {
        Ok(Some(self.weight(id)?.format))
    }

    fn slot_place(&self, slot: usize) -> Place {
        Place::Slot(slot)
    }

    fn state_place(&self, name: &str) -> Place {
        self.states.place(name).map_or(Place::None, Place::State)
    }

    fn input_place(&self, id: ValueId) -> Place {
        Place::Input(id.0)
    }
}

/// How a kernel that reads any type knows one (`shared/element.cuh`).
pub(super) fn code(format: WeightFormat) -> Argument {
    Argument::Word(match format {
        WeightFormat::Plain(DType::F32 | DType::U32 | DType::I8) => 0,
        WeightFormat::Plain(DType::BF16) => 1,
        WeightFormat::Plain(DType::F16) => 2,
        WeightFormat::Grouped(Grouped { bits: Bits::Eight, .. }) => 3,
        WeightFormat::Grouped(Grouped { bits: Bits::Four, .. }) => 4,
    })
}

/// `Groups` of `shared/grouped.cuh`.
pub(super) fn groups(weight: &Weight) -> [Argument; 3] {
    match weight.format {
        WeightFormat::Plain(_) => [word(0); 3],
        WeightFormat::Grouped(g) => {
            let words = weight.rows * g.row_bytes(weight.inner) / 4;
            [word(g.group), word(words), code(g.scale.into())]
        }
    }
}

/// The macro for a type of keys and values.
pub(super) fn kv_define(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "KV_BF16",
        DType::I8 => "KV_I8",
        _ => "KV_F32",
    }
}
