//! What lowering an operator needs: where values and weights are, and a list of kernels to add to.

use crate::Tuning;
use crate::matrix::Taken;
use crate::pipelines::{Constant, Permutation};
use crate::program::{Arena, Kernel, KernelId, Launches, Place};
use crate::shaders;
use crate::states::States;
use crate::weights::{Matrix, Stored, Weights};
use monolens_graph::check::StateTable;
use monolens_graph::plan::Plan;
use monolens_graph::{
    BackendError, Bits, DType, Grouped, Lowering, Node, Source, ValueId, WeightFormat, WeightId,
};

/// In parameters: there is no such vector or table.
pub(crate) const NONE: u32 = u32::MAX;

/// Lowers the nodes of one plan.
pub(crate) struct Lower<'a> {
    plan: &'a Plan,
    /// As [`crate::gpu::Gpu::taken`].
    pub taken: Taken,
    /// Which presets of them.
    pub tuning: &'a Tuning,
    weights: &'a Weights,
    states: &'a States,
    arena: &'a Arena,
    kernels: Vec<Kernel>,
    scratch: Vec<u64>,
}

impl<'a> Lower<'a> {
    pub fn new(
        (taken, tuning): (Taken, &'a Tuning),
        plan: &'a Plan,
        weights: &'a Weights,
        states: &'a States,
        arena: &'a Arena,
    ) -> Self {
        Self { plan, taken, tuning, weights, states, arena, kernels: Vec::new(), scratch: Vec::new() }
    }

    /// The launches of a node.
    pub fn node(&mut self, node: &Node) -> Result<Launches, BackendError> {
        super::lower(self, node)
    }

    /// The kernels, and the bytes of the scratch slots behind those of the plan.
    pub fn finish(self) -> (Vec<Kernel>, Vec<u64>) {
        (self.kernels, self.scratch)
    }

    /// A kernel that writes its first `written` places.
    pub fn kernel(
        &mut self,
        file: &str,
        features: &[&str],
        places: Vec<Place>,
        written: &[usize],
    ) -> KernelId {
        self.kernel_with(file, features, Vec::new(), places, written)
    }

    /// The same of a shader that is compiled with constants.
    pub fn kernel_with(
        &mut self,
        file: &str,
        features: &[&str],
        constants: Vec<Constant>,
        places: Vec<Place>,
        written: &[usize],
    ) -> KernelId {
        let writes = (0..places.len()).map(|i| written.contains(&i)).collect();
        let shader = Permutation { name: shaders::name_of(file, features), constants };
        self.kernels.push(Kernel { shader, places, writes, pipeline: None, group: None });
        KernelId(self.kernels.len() - 1)
    }

    /// A piece of memory for within a node.
    pub fn scratch(&mut self, bytes: usize) -> Place {
        self.scratch.push(bytes as u64);
        Place::Slot(self.plan.slots.len() + self.scratch.len() - 1)
    }

    /// The first word of an index input among the tables.
    pub fn table(&self, node: &Node, id: ValueId) -> Result<u32, BackendError> {
        match (self.value(id).source, self.arena.offset(id)) {
            (Source::Input, Some(offset)) => Ok((offset / 4) as u32),
            _ => Err(self.error(node, &format!("{} must be an input", self.value(id).name))),
        }
    }

    /// A matrix.
    pub fn matrix(&self, node: &Node, id: WeightId) -> Result<&'a Matrix, BackendError> {
        match &self.weights.find(self.plan.graph.weight(id))?.stored {
            Stored::Matrix(matrix) => Ok(matrix),
            Stored::Vector(_) => Err(self.error(node, "a vector where a matrix is needed")),
        }
    }

    /// Where a vector begins among the vectors.
    pub fn vector(&self, node: &Node, id: WeightId) -> Result<u32, BackendError> {
        match &self.weights.find(self.plan.graph.weight(id))?.stored {
            Stored::Vector(at) => Ok(*at as u32),
            Stored::Matrix(_) => Err(self.error(node, "a matrix where a vector is needed")),
        }
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
        Ok(match &self.weights.find(self.plan.graph.weight(id))?.stored {
            Stored::Matrix(matrix) => Some(matrix.format),
            Stored::Vector(_) => None,
        })
    }

    fn slot_place(&self, slot: usize) -> Place {
        Place::Slot(slot)
    }

    fn state_place(&self, name: &str) -> Place {
        Place::State(name.into())
    }

    fn input_place(&self, id: ValueId) -> Place {
        self.arena.place(id)
    }
}

/// The feature that says how a state is stored.
pub(crate) fn feature(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::I8 => "i8",
        DType::F32 | DType::U32 => "f32",
    }
}

/// The feature that says how a weight is stored.
pub(crate) fn weight_feature(format: WeightFormat) -> &'static str {
    match format {
        WeightFormat::Plain(dtype) => feature(dtype),
        WeightFormat::Grouped(Grouped { bits: Bits::Eight, .. }) => "q8",
        WeightFormat::Grouped(Grouped { bits: Bits::Four, .. }) => "q4",
    }
}
