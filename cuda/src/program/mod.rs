//! A plan made ready for the device, and its runs: inputs in, launches, outputs back.

mod launch;
mod memory;

pub(crate) use launch::{Launches, Memory, Place, Run, THREADS, blocks, threads, word};
pub(crate) use memory::{Inputs, Pool};

use crate::gpu::{self, Gpu, GraphId, Recording};
use crate::ops::{How, Lower};
use crate::states::States;
use crate::weights::Weights;
use monolens_graph::backend::{HostTensor, Job, Outputs};
use monolens_graph::plan::Plan;
use monolens_graph::{Axes, BackendError, DType, Source, ValueId, check};
use std::rc::Rc;

/// Recorded runs that a program keeps.
const GRAPHS: usize = 8;
/// Rows at most of a run that is worth recording: with more, launching is not what takes time.
pub(crate) const RECORDED_ROWS: usize = 64;

/// A node's operator and its launches.
struct Step {
    name: &'static str,
    launches: Launches,
}

/// A series of launches that ran before.
struct Recorded {
    recording: Recording,
    /// Made when it ran a second time; the device may not be able to.
    graph: Option<Option<GraphId>>,
    last_use: u64,
}

/// Kernels are told in a word how many elements there are; states are counted by their rows alone.
fn fits_words(plan: &Plan) -> Result<(), BackendError> {
    let values = plan.graph.values.iter().filter(|value| value.source != Source::State);
    for value in values {
        let sizes = value.shape.sizes(&plan.limits);
        let elements = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        if elements.is_none_or(|elements| u32::try_from(elements).is_err()) {
            return Err(BackendError::Limit {
                what: format!("elements of {} in {}", value.name, plan.graph.name),
                needed: format!("{sizes:?}"),
                limit: format!("{} at most", u32::MAX),
            });
        }
    }
    Ok(())
}

/// What programs share.
pub(crate) struct Resources<'r> {
    pub gpu: &'r Rc<dyn Gpu>,
    pub states: &'r States,
    pub pool: &'r Pool,
    /// Whether runs of few rows are recorded.
    pub graphs: bool,
}

/// A prepared plan.
pub(crate) struct Program {
    gpu: Rc<dyn Gpu>,
    plan: Plan,
    steps: Vec<Step>,
    inputs: Inputs,
    pool_of: Vec<usize>,
    /// States as they were when the program was made.
    states: Vec<(String, DType)>,
    recording: Recording,
    recorded: Vec<Recorded>,
    runs: u64,
}

impl Program {
    pub fn new(
        gpu: &Rc<dyn Gpu>,
        plan: Plan,
        weights: &Weights,
        states: &States,
        pool: &mut Pool,
        how: How,
    ) -> Result<Self, BackendError> {
        for id in plan.graph.used_weights() {
            weights.find(plan.graph.weight(id))?;
        }
        fits_words(&plan)?;
        let known = check::states(&plan, states)?;
        let inputs = Inputs::new(gpu, &plan)?;
        let mut lower = Lower::new(&**gpu, &plan, weights, states, how);
        let mut steps = Vec::with_capacity(plan.graph.nodes.len());
        for node in &plan.graph.nodes {
            let launches = lower.node(node)?;
            steps.push(Step { name: node.op.name(), launches });
        }
        let scratch = lower.finish();
        let slots: Vec<u64> = plan.slots.iter().map(|s| s.bytes as u64).chain(scratch).collect();
        let pool_of = pool.fit(gpu, &slots)?;
        Ok(Self {
            gpu: Rc::clone(gpu),
            plan,
            steps,
            inputs,
            pool_of,
            states: known,
            recording: Recording::default(),
            recorded: Vec::new(),
            runs: 0,
        })
    }

    /// The operator of each launch, in order.
    pub fn dispatches(&self, axes: &Axes) -> Vec<&'static str> {
        let (mut names, mut recording) = (Vec::new(), Recording::default());
        let run = Run { axes, memory: None };
        for step in &self.steps {
            recording.clear();
            (step.launches)(&run, &mut recording);
            names.extend(recording.work.iter().map(|_| step.name));
        }
        names
    }

    /// Bytes of inputs.
    pub fn bytes(&self) -> u64 {
        self.inputs.bytes()
    }

    /// Runs the program on a job.
    pub fn run(&mut self, job: &Job<'_>, with: &Resources<'_>) -> Result<Outputs, BackendError> {
        check::job(&self.plan, job, &self.states, with.states)?;
        self.inputs.write(&self.plan, job)?;
        self.recording.clear();
        let memory =
            Memory { pool: with.pool, pool_of: &self.pool_of, inputs: &self.inputs, states: with.states };
        let run = Run { axes: &job.axes, memory: Some(memory) };
        for step in &self.steps {
            (step.launches)(&run, &mut self.recording);
        }
        let rows = job.axes.get(monolens_graph::Axis::Rows);
        let launched = if with.graphs && (1..=RECORDED_ROWS).contains(&rows) {
            self.launch_recorded()
        } else {
            with.gpu.launch(&self.recording)
        };
        launched.map_err(|e| e.explain(&with.gpu.info().name))?;
        self.read(job, with)
    }

    /// Launches what is in `recording`, at low cost if the very same ran before.
    fn launch_recorded(&mut self) -> Result<(), gpu::GpuError> {
        self.runs += 1;
        let same = self.recorded.iter_mut().find(|r| r.recording == self.recording);
        if let Some(recorded) = same {
            recorded.last_use = self.runs;
            let graph = *recorded.graph.get_or_insert_with(|| self.gpu.record(&recorded.recording));
            return match graph {
                Some(graph) => self.gpu.replay(graph),
                None => self.gpu.launch(&self.recording),
            };
        }
        self.gpu.launch(&self.recording)?;
        if self.recorded.len() == GRAPHS {
            let oldest = (0..GRAPHS).min_by_key(|&i| self.recorded[i].last_use).unwrap_or(0);
            if let Some(Some(graph)) = self.recorded.swap_remove(oldest).graph {
                self.gpu.forget(graph);
            }
        }
        let recording = self.recording.clone();
        self.recorded.push(Recorded { recording, graph: None, last_use: self.runs });
        Ok(())
    }

    fn read(&self, job: &Job<'_>, with: &Resources<'_>) -> Result<Outputs, BackendError> {
        let mut outputs = Outputs::new();
        for name in &job.read {
            let Some(&id) = self.plan.graph.outputs.get(*name) else { continue };
            let value = self.plan.graph.value(id);
            let size = value.shape.elements(&job.axes) * value.dtype.bytes();
            let bytes = gpu::read(&**with.gpu, self.address(id, with), size)?;
            let tensor = HostTensor { dtype: value.dtype, shape: value.shape.sizes(&job.axes), bytes };
            outputs.insert((*name).to_owned(), tensor);
        }
        Ok(outputs)
    }

    fn address(&self, id: ValueId, with: &Resources<'_>) -> u64 {
        if let Some(slot) = self.plan.slot_of.get(id.0).copied().flatten() {
            return with.pool.address(self.pool_of[slot.0]);
        }
        match self.plan.graph.value(id).source {
            Source::State => {
                with.states.place(&self.plan.graph.value(id).name).map_or(0, |at| with.states.address(at))
            }
            _ => self.inputs.address(id.0).unwrap_or(0),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        for graph in self.recorded.iter().filter_map(|r| r.graph.flatten()) {
            self.gpu.forget(graph);
        }
    }
}
