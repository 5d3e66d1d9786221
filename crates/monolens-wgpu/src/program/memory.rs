//! Memory of programs: activation slots that all programs share, and each program's inputs.

use super::Place;
use crate::gpu::{ALIGNMENT, Gpu};
use monolens_graph::plan::Plan;
use monolens_graph::{BackendError, DType, Op, Source, ValueId};
use std::collections::BTreeSet;

/// Buffers for activations. Programs never run at once, so they share them: the largest slot of each takes the first.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    pub buffers: Vec<wgpu::Buffer>,
    /// Grows when a buffer becomes another one: bind groups made before are stale then.
    pub generation: u64,
}

impl Pool {
    /// Makes room for slots of these sizes; gives the buffer of each.
    pub fn fit(&mut self, gpu: &Gpu, slots: &[u64]) -> Result<Vec<usize>, BackendError> {
        let mut order: Vec<usize> = (0..slots.len()).collect();
        order.sort_by_key(|&slot| std::cmp::Reverse(slots[slot]));
        let mut pool_of = vec![0; slots.len()];
        for (rank, &slot) in order.iter().enumerate() {
            pool_of[slot] = rank;
            let bytes = slots[slot].max(16);
            match self.buffers.get(rank) {
                Some(buffer) if buffer.size() >= bytes => {}
                Some(_) => {
                    self.buffers[rank] = gpu.storage("activations", bytes)?;
                    self.generation += 1;
                }
                None => self.buffers.push(gpu.storage("activations", bytes)?),
            }
        }
        Ok(pool_of)
    }

    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(wgpu::Buffer::size).sum()
    }
}

/// A program's inputs in one buffer, at the offsets they have at the plan's limits; index inputs come first.
#[derive(Debug)]
pub(crate) struct Arena {
    pub buffer: wgpu::Buffer,
    /// Offset and size of each value that is an input.
    slices: Vec<Option<(u64, u64)>>,
    /// Bytes of the index inputs.
    pub tables: u64,
}

impl Arena {
    pub fn new(gpu: &Gpu, plan: &Plan) -> Result<Self, BackendError> {
        let graph = &plan.graph;
        let rotations: BTreeSet<ValueId> = graph
            .nodes
            .iter()
            .filter(|n| matches!(n.op, Op::Rope(_) | Op::QkvRope(_)))
            .filter_map(|n| n.inputs.get(2).copied())
            .collect();
        let is_table = |id: ValueId| graph.value(id).dtype == DType::U32 || rotations.contains(&id);
        let mut slices = vec![None; graph.values.len()];
        let (mut end, mut tables) = (0, 0);
        for wanted in [true, false] {
            for (id, value) in graph.of_source(Source::Input).filter(|(id, _)| is_table(*id) == wanted) {
                let bytes = (value.shape.elements(&plan.limits) * value.dtype.bytes()) as u64;
                let limit = gpu.limits.max_storage_buffer_binding_size;
                if bytes > limit {
                    return Err(BackendError::Limit {
                        what: format!("{}: input {}", graph.name, value.name),
                        needed: format!("{bytes} bytes"),
                        limit: format!("bindings of {limit} bytes"),
                    });
                }
                slices[id.0] = Some((end, bytes.max(16).next_multiple_of(16)));
                end += bytes.max(16).next_multiple_of(ALIGNMENT);
            }
            if wanted {
                tables = end;
            }
        }
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        let buffer = gpu.buffer(&format!("inputs of {}", graph.name), end, usage)?;
        Ok(Self { buffer, slices, tables })
    }

    /// Where an input is; nowhere for other values.
    pub fn place(&self, id: ValueId) -> Place {
        let (offset, size) = self.slices.get(id.0).copied().flatten().unwrap_or((0, 16));
        Place::Input { offset, size }
    }

    /// Offset of an input in bytes.
    pub fn offset(&self, id: ValueId) -> Option<u64> {
        self.slices.get(id.0).copied().flatten().map(|(offset, _)| offset)
    }
}
