//! What lowering an operator needs: kernels, and where values and weights are.

use crate::Arithmetic;
use crate::gpu::{Argument, FunctionId, Gpu};
use crate::kernels::Unit;
use crate::program::{Launches, Place};
use crate::states::States;
use crate::weights::{Weight, Weights};
use monolens_graph::check::StateTable;
use monolens_graph::plan::Plan;
use monolens_graph::{BackendError, DType, Node, Shape, Source, Value, ValueId, WeightId};

/// Lowers the nodes of one plan.
pub(crate) struct Lower<'a> {
    pub plan: &'a Plan,
    pub arithmetic: Arithmetic,
    gpu: &'a dyn Gpu,
    weights: &'a Weights,
    states: &'a States,
    /// Bytes of the scratch slots, which nodes share, and how many of them the present node has.
    scratch: Vec<u64>,
    taken: usize,
}

impl<'a> Lower<'a> {
    pub fn new(
        gpu: &'a dyn Gpu,
        plan: &'a Plan,
        weights: &'a Weights,
        states: &'a States,
        arithmetic: Arithmetic,
    ) -> Self {
        Self { plan, arithmetic, gpu, weights, states, scratch: Vec::new(), taken: 0 }
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
                Source::State => self.states.place(&self.value(id).name).map_or(Place::None, Place::State),
                _ => Place::Input(id.0),
            },
        }
    }

    /// Where a node's result goes.
    pub fn result(&self, node: &Node) -> Result<Place, BackendError> {
        node.output.map(|id| self.place(id)).ok_or_else(|| self.error(node, "it has no result"))
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

    /// Matrices that one kernel reads together, and their type, which must be one.
    pub fn same_dtype(&self, ids: &[WeightId]) -> Result<DType, BackendError> {
        let Some(&first) = ids.first() else {
            return Err(BackendError::Device(format!("{}: no weight to project with", self.plan.graph.name)));
        };
        let dtype = self.weight(first)?.dtype;
        for &id in ids {
            let other = self.weight(id)?.dtype;
            if other != dtype {
                return Err(BackendError::Weight {
                    name: self.plan.graph.weight(id).name.clone(),
                    expected: format!("{dtype} like {}", self.plan.graph.weight(first).name),
                    got: other.to_string(),
                });
            }
        }
        Ok(dtype)
    }

    /// The type of a state that is one of a node's inputs.
    pub fn state_dtype(&self, node: &Node, id: ValueId) -> Result<DType, BackendError> {
        let name = &self.value(id).name;
        let found = self.states.state(name).map(|(dtype, ..)| dtype);
        found.ok_or_else(|| self.error(node, &format!("no state {name}")))
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

/// How a kernel that reads any type knows one (`element` in `shared/element.cuh`).
pub(super) fn code(dtype: DType) -> Argument {
    Argument::Word(match dtype {
        DType::BF16 => 1,
        DType::F16 => 2,
        _ => 0,
    })
}

/// The macro for a type of keys and values.
pub(super) fn kv_define(dtype: DType) -> &'static str {
    if dtype == DType::BF16 { "KV_BF16" } else { "KV_F32" }
}
