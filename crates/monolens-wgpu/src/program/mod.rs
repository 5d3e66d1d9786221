//! A plan made ready for the device: kernels with their buffers, and how to launch them for given axes.

mod launch;
mod measure;
mod memory;
mod run;

pub(crate) use launch::{GRID, Kernel, KernelId, Launch, Launches, Place, pieces, spread, threads};
pub(crate) use memory::{Arena, Pool};
pub(crate) use run::Resources;

use crate::Tuning;
use crate::gpu::Gpu;
use crate::ops::Lower;
use crate::pace::Rate;
use crate::pipelines::SharedPipelines;
use crate::states::States;
use crate::weights::Weights;
use monolens_graph::plan::Plan;
use monolens_graph::{Axes, Axis, BackendError, DType, Source, ValueId, check};
use std::collections::BTreeSet;

/// A node's operator and its launches.
pub(crate) struct Step {
    pub name: &'static str,
    pub launches: Launches,
}

/// A prepared plan.
pub(crate) struct Program {
    pub plan: Plan,
    steps: Vec<Step>,
    kernels: Vec<Kernel>,
    arena: Arena,
    /// Which buffer of the pool is each slot.
    pool_of: Vec<usize>,
    /// States as they were when the program was made.
    states: Vec<(String, DType)>,
    params: Option<(wgpu::Buffer, wgpu::BindGroup)>,
    param_bytes: Vec<u8>,
    launches: Vec<Launch>,
    /// Launches up to the end of each step.
    ends: Vec<usize>,
    staging: Option<wgpu::Buffer>,
    rate: Rate,
    /// Work of the largest launch of the last run.
    largest: f64,
}

impl Program {
    pub fn new(
        gpu: &Gpu,
        tuning: &Tuning,
        plan: Plan,
        weights: &Weights,
        states: &States,
        pool: &mut Pool,
    ) -> Result<Self, BackendError> {
        for id in plan.graph.used_weights() {
            weights.find(plan.graph.weight(id))?;
        }
        let known = check::states(&plan, states)?;
        let arena = Arena::new(gpu, &plan)?;
        let mut lower = Lower::new((gpu.taken, tuning), &plan, weights, states, &arena);
        let mut steps = Vec::with_capacity(plan.graph.nodes.len());
        for node in &plan.graph.nodes {
            let launches = lower.node(node)?;
            steps.push(Step { name: node.op.name(), launches });
        }
        let (kernels, scratch) = lower.finish();
        let slots: Vec<u64> = plan.slots.iter().map(|s| s.bytes as u64).chain(scratch).collect();
        let pool_of = pool.fit(gpu, &slots)?;
        Ok(Self {
            plan,
            steps,
            kernels,
            arena,
            pool_of,
            states: known,
            params: None,
            param_bytes: Vec::new(),
            launches: Vec::new(),
            ends: Vec::new(),
            staging: None,
            rate: Rate::default(),
            largest: 0.0,
        })
    }

    /// Compiles every kernel that a run may need, so that no run has to wait for the compiler.
    ///
    /// # Errors
    /// What the device's compiler says, in a browser too.
    pub async fn compile(&mut self, gpu: &Gpu, pipelines: &SharedPipelines) -> Result<(), BackendError> {
        let mut launches = Vec::new();
        for axes in probes(&self.plan.limits) {
            self.steps.iter().for_each(|step| (step.launches)(&axes, &mut launches));
        }
        let wanted: BTreeSet<usize> = launches.iter().map(|launch| launch.kernel.0).collect();
        let kernels: Vec<_> = wanted.into_iter().map(|at| &self.kernels[at]).collect();
        let wanted: Vec<_> = kernels.iter().map(|k| (&k.shader, k.writes.as_slice())).collect();
        pipelines.compile(gpu, &wanted).await
    }

    /// The operator of each dispatch, in order.
    pub fn dispatches(&self, axes: &Axes) -> Vec<&'static str> {
        let (mut names, mut launches) = (Vec::new(), Vec::new());
        for step in &self.steps {
            (step.launches)(axes, &mut launches);
            names.extend(launches.drain(..).filter(|l| !l.grid.contains(&0)).map(|_| step.name));
        }
        names
    }

    /// The kernel of each dispatch, in order: its shader permutation and constants.
    pub fn kernels(&self, axes: &Axes) -> Vec<String> {
        let mut launches = Vec::new();
        self.steps.iter().for_each(|step| (step.launches)(axes, &mut launches));
        let taken = launches.iter().filter(|launch| !launch.grid.contains(&0));
        taken.map(|launch| self.kernels[launch.kernel.0].shader.to_string()).collect()
    }

    /// Bytes of inputs and parameters.
    pub fn bytes(&self) -> u64 {
        let params = self.params.as_ref().map_or(0, |(buffer, _)| buffer.size());
        let staging = self.staging.as_ref().map_or(0, wgpu::Buffer::size);
        self.arena.buffer.size() + params + staging
    }

    /// Seconds that the longest launch of the last run held the device, once that can be told.
    pub fn longest(&self) -> Option<f64> {
        self.rate.seconds(self.largest)
    }

    /// Where a value is kept.
    fn place(&self, id: ValueId) -> Place {
        match self.plan.slot_of.get(id.0) {
            Some(Some(slot)) => Place::Slot(slot.0),
            _ => match self.plan.graph.value(id).source {
                Source::State => Place::State(self.plan.graph.value(id).name.clone()),
                _ => self.arena.place(id),
            },
        }
    }
}

/// Sizes of runs that take other kernels: the limits, one row, a few rows, each over a long and over a short context.
fn probes(limits: &Axes) -> Vec<Axes> {
    const COUNTS: [Axis; 6] =
        [Axis::Rows, Axis::Samples, Axis::Sequences, Axis::QueryBlocks, Axis::RouteBlocks, Axis::Tiles];
    let few =
        |n: usize| COUNTS.into_iter().fold(*limits, |axes, axis| axes.with(axis, axes.get(axis).min(n)));
    let sizes = [*limits, few(1), few(2)];
    sizes
        .into_iter()
        .flat_map(|axes| [axes, axes.with(Axis::Context, axes.get(Axis::Context).min(1))])
        .collect()
}
