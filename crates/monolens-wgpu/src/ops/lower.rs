//! What lowering an operator needs: where values and weights are, and a list of kernels to add to.

use crate::program::{Arena, Kernel, KernelId, Launches, Place};
use crate::shaders;
use crate::states::States;
use crate::weights::{Matrix, Stored, Weights};
use monolens_graph::plan::Plan;
use monolens_graph::{
    BackendError, Bits, DType, Grouped, Node, Shape, Source, Value, ValueId, WeightFormat, WeightId,
};

/// In parameters: there is no such vector or table.
pub(crate) const NONE: u32 = u32::MAX;

/// Lowers the nodes of one plan.
pub(crate) struct Lower<'a> {
    pub plan: &'a Plan,
    /// As [`crate::gpu::Gpu::lanes`].
    pub lanes: bool,
    weights: &'a Weights,
    states: &'a States,
    arena: &'a Arena,
    kernels: Vec<Kernel>,
    scratch: Vec<u64>,
}

impl<'a> Lower<'a> {
    pub fn new(
        lanes: bool,
        plan: &'a Plan,
        weights: &'a Weights,
        states: &'a States,
        arena: &'a Arena,
    ) -> Self {
        Self { plan, lanes, weights, states, arena, kernels: Vec::new(), scratch: Vec::new() }
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
        let writes = (0..places.len()).map(|i| written.contains(&i)).collect();
        let shader = shaders::name_of(file, features);
        self.kernels.push(Kernel { shader, places, writes, pipeline: None, group: None });
        KernelId(self.kernels.len() - 1)
    }

    /// A piece of memory for within a node.
    pub fn scratch(&mut self, bytes: usize) -> Place {
        self.scratch.push(bytes as u64);
        Place::Slot(self.plan.slots.len() + self.scratch.len() - 1)
    }

    pub fn value(&self, id: ValueId) -> &'a Value {
        self.plan.graph.value(id)
    }

    pub fn shape(&self, id: ValueId) -> &'a Shape {
        &self.value(id).shape
    }

    /// The last dimension.
    pub fn width(&self, id: ValueId) -> usize {
        self.shape(id).width().unwrap_or(0)
    }

    /// Where a value is.
    pub fn place(&self, id: ValueId) -> Place {
        match self.plan.slot_of.get(id.0) {
            Some(Some(slot)) => Place::Slot(slot.0),
            _ => match self.value(id).source {
                Source::State => Place::State(self.value(id).name.clone()),
                _ => self.arena.place(id),
            },
        }
    }

    /// Where a node's result goes.
    pub fn result(&self, node: &Node) -> Result<Place, BackendError> {
        node.output.map(|id| self.place(id)).ok_or_else(|| self.error(node, "it has no result"))
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

    /// Matrices that one kernel reads together must be stored alike.
    pub fn same_format(&self, ids: &[WeightId]) -> Result<(), BackendError> {
        let mut formats = Vec::new();
        for &id in ids {
            if let Stored::Matrix(m) = &self.weights.find(self.plan.graph.weight(id))?.stored {
                formats.push((id, m.format));
            }
        }
        match formats.iter().find(|(_, format)| *format != formats[0].1) {
            None => Ok(()),
            Some((id, format)) => Err(BackendError::Weight {
                name: self.plan.graph.weight(*id).name.clone(),
                expected: format!("{} like {}", formats[0].1, self.plan.graph.weight(formats[0].0).name),
                got: format.to_string(),
            }),
        }
    }

    /// Where a vector begins among the vectors.
    pub fn vector(&self, node: &Node, id: WeightId) -> Result<u32, BackendError> {
        match &self.weights.find(self.plan.graph.weight(id))?.stored {
            Stored::Vector(at) => Ok(*at as u32),
            Stored::Matrix(_) => Err(self.error(node, "a matrix where a vector is needed")),
        }
    }

    /// The type of a state that is one of a node's inputs.
    pub fn state_dtype(&self, node: &Node, id: ValueId) -> Result<DType, BackendError> {
        let name = &self.value(id).name;
        self.states.get(name).map(|s| s.dtype).ok_or_else(|| self.error(node, &format!("no state {name}")))
    }

    /// The type of the key and value states.
    pub fn kv_dtype(&self, node: &Node, k: ValueId, v: ValueId) -> Result<DType, BackendError> {
        let (keys, values) = (self.state_dtype(node, k)?, self.state_dtype(node, v)?);
        if keys != values {
            return Err(self.error(node, &format!("keys of {keys} and values of {values}")));
        }
        Ok(keys)
    }

    pub fn error(&self, node: &Node, what: &str) -> BackendError {
        BackendError::Device(format!("{}: {} ({}): {what}", self.plan.graph.name, node.name, node.op.name()))
    }
}

/// The feature that says how a state is stored.
pub(crate) fn feature(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "f16",
        DType::BF16 => "bf16",
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
