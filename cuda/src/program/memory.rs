//! Memory of programs: activation slots that all programs share, and each program's inputs.

use crate::gpu::{Buffer, Gpu};
use monolens_graph::backend::Job;
use monolens_graph::plan::Plan;
use monolens_graph::{Axes, Axis, BackendError, Dim, Source, Value};
use std::rc::Rc;

/// Alignment of each input.
const ALIGNMENT: usize = 256;

/// Buffers for activations. Programs never run at once, so they share them: the largest slot of each takes the first.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: Vec<Buffer>,
}

impl Pool {
    /// Makes room for slots of these sizes; gives the buffer of each.
    pub fn fit(&mut self, gpu: &Rc<dyn Gpu>, slots: &[u64]) -> Result<Vec<usize>, BackendError> {
        let mut order: Vec<usize> = (0..slots.len()).collect();
        order.sort_by_key(|&slot| std::cmp::Reverse(slots[slot]));
        let mut pool_of = vec![0; slots.len()];
        for (rank, &slot) in order.iter().enumerate() {
            pool_of[slot] = rank;
            let buffer = || Buffer::new(gpu, "activations", slots[slot]);
            match self.buffers.get(rank) {
                Some(old) if old.bytes >= slots[slot] => {}
                Some(_) => self.buffers[rank] = buffer()?,
                None => self.buffers.push(buffer()?),
            }
        }
        Ok(pool_of)
    }

    pub fn address(&self, buffer: usize) -> u64 {
        self.buffers.get(buffer).map_or(0, |b| b.address)
    }

    pub fn bytes(&self) -> u64 {
        self.buffers.iter().map(|b| b.bytes).sum()
    }
}

/// A program's inputs in one buffer, packed anew for each run so that one copy brings them all.
///
/// First come the sizes that kernels read from memory, then inputs whose size does not depend on the length of the page
/// table, then the others: while a sequence grows, all addresses stay, and so do recorded launches.
#[derive(Debug)]
pub(crate) struct Inputs {
    buffer: Buffer,
    /// The inputs, in the order in which they are packed.
    order: Vec<usize>,
    /// Offset of each value that is an input, in the run.
    offsets: Vec<Option<usize>>,
    staging: Vec<u8>,
}

fn grows(value: &Value) -> bool {
    value.shape.0.contains(&Dim::Axis(Axis::PagesPerSequence))
}

fn bytes_of(value: &Value, axes: &Axes) -> usize {
    (value.shape.elements(axes) * value.dtype.bytes()).max(1).next_multiple_of(ALIGNMENT)
}

impl Inputs {
    pub fn new(gpu: &Rc<dyn Gpu>, plan: &Plan) -> Result<Self, BackendError> {
        let graph = &plan.graph;
        let mut order: Vec<usize> = graph.of_source(Source::Input).map(|(id, _)| id.0).collect();
        order.sort_by_key(|&id| grows(&graph.values[id]));
        let room = order.iter().map(|&id| bytes_of(&graph.values[id], &plan.limits)).sum::<usize>();
        let what = format!("inputs of {}", graph.name);
        let buffer = Buffer::new(gpu, &what, (ALIGNMENT + room) as u64)?;
        Ok(Self { buffer, order, offsets: vec![None; graph.values.len()], staging: Vec::new() })
    }

    pub fn bytes(&self) -> u64 {
        self.buffer.bytes
    }

    /// Address of the sizes: width of the page table, keys of the longest sequence.
    pub fn sizes(&self) -> u64 {
        self.buffer.address
    }

    /// Address of an input in this run.
    pub fn address(&self, id: usize) -> Option<u64> {
        self.offsets.get(id).copied().flatten().map(|offset| self.buffer.address + offset as u64)
    }

    /// Packs and copies the inputs of a job that was checked.
    pub fn write(&mut self, plan: &Plan, job: &Job<'_>) -> Result<(), BackendError> {
        self.staging.clear();
        let sizes = [Axis::PagesPerSequence, Axis::Context].map(|axis| job.axes.get(axis) as u32);
        self.staging.extend_from_slice(bytemuck::cast_slice(&sizes));
        self.staging.resize(ALIGNMENT, 0);
        for &id in &self.order {
            let value = &plan.graph.values[id];
            let end = self.staging.len() + bytes_of(value, &job.axes);
            self.offsets[id] = Some(self.staging.len());
            if let Some(bytes) = job.inputs.get(value.name.as_str()) {
                self.staging.extend_from_slice(bytes);
            }
            self.staging.resize(end, 0);
        }
        self.buffer.write(0, &self.staging)
    }
}
