//! A prepared plan, and how it runs: node after node.

use crate::frame::{Frame, Slice, Work, cast};
use crate::kernels::Product;
use crate::ops;
use crate::state::States;
use crate::weight::Weight;
use monolens_graph::backend::{HostTensor, Job, Outputs};
use monolens_graph::plan::Plan;
use monolens_graph::{
    Axes, BackendError, Cost, DType, Lookback, OpTime, Source, Value, ValueId, batch, check,
};
use std::borrow::Cow;
use std::collections::BTreeMap;
use web_time::Instant;

/// Loaded weights, by name and by place.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub(crate) list: Vec<Weight>,
    pub(crate) names: BTreeMap<String, usize>,
}

impl Weights {
    /// Bytes of a weight.
    fn bytes(&self, name: &str) -> f64 {
        self.names.get(name).map_or(0.0, |&at| self.list[at].bytes() as f64)
    }
}

/// How far the rows of a job look back, if it has rows.
fn lookback(job: &Job<'_>) -> Lookback {
    let rows = job.inputs.get(batch::ROWS).copied().unwrap_or_default();
    let words: Cow<'_, [u32]> = cast(rows);
    bytemuck::try_cast_slice(&words).map_or_else(|_| Lookback::default(), Lookback::of)
}

/// A plan with its memory.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) plan: Plan,
    slots: Vec<Vec<f32>>,
}

/// An input of a run as elements.
enum Given<'a> {
    F32(Cow<'a, [f32]>),
    U32(Cow<'a, [u32]>),
}

impl Program {
    pub(crate) fn new(plan: Plan, device: &str, used: u64) -> Result<Self, BackendError> {
        for value in &plan.graph.values {
            if value.source != Source::State && !matches!(value.dtype, DType::F32 | DType::U32) {
                return Err(BackendError::input(&plan.graph.name, &value.name, "f32 or u32", value.dtype));
            }
        }
        // Indices are checked before the first node runs, so no node may make them.
        let made = |id: &&ValueId| {
            let value = plan.graph.value(**id);
            value.dtype == DType::U32 && matches!(value.source, Source::Node(_))
        };
        if let Some(id) = plan.graph.nodes.iter().flat_map(|n| &n.inputs).find(made) {
            let name = &plan.graph.value(*id).name;
            return Err(BackendError::input(
                &plan.graph.name,
                name,
                "an input of the run",
                "a node's result",
            ));
        }
        let mut slots = Vec::new();
        for slot in &plan.slots {
            let mut buffer: Vec<f32> = Vec::new();
            buffer.try_reserve_exact(slot.bytes / 4).map_err(|_| BackendError::OutOfMemory {
                device: device.into(),
                what: format!("activations of {}", plan.graph.name),
                requested: plan.slot_bytes() as u64,
                used,
            })?;
            buffer.resize(slot.bytes / 4, 0.0);
            slots.push(buffer);
        }
        Ok(Self { plan, slots })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.slots.iter().map(|s| 4 * s.capacity() as u64).sum()
    }

    /// The place of every weight, or what is wrong with one.
    pub(crate) fn find_weights(plan: &Plan, weights: &Weights) -> Result<Vec<Option<usize>>, BackendError> {
        let mut found = vec![None; plan.graph.weights.len()];
        for id in plan.graph.used_weights() {
            let spec = plan.graph.weight(id);
            let error = |got| BackendError::Weight {
                name: spec.name.clone(),
                expected: format!("{:?}", spec.shape),
                got,
            };
            let Some(&at) = weights.names.get(&spec.name) else {
                return Err(error("nothing: it was not loaded".into()));
            };
            if weights.list[at].shape != spec.shape {
                return Err(error(format!("{:?}", weights.list[at].shape)));
            }
            found[id.0] = Some(at);
        }
        Ok(found)
    }

    /// The place of every state, or what is wrong with one. `axes` is what a run needs, none when preparing.
    pub(crate) fn find_states(
        plan: &Plan,
        states: &States,
        axes: Option<&Axes>,
    ) -> Result<Vec<Option<usize>>, BackendError> {
        let mut found = vec![None; plan.graph.values.len()];
        for (id, value) in plan.graph.of_source(Source::State) {
            let used = plan.graph.nodes.iter().any(|n| n.inputs.contains(&id));
            if !used && !plan.graph.outputs.values().any(|&output| output == id) {
                continue;
            }
            let error = |expected: String, got: String| {
                BackendError::input(&plan.graph.name, format!("state {}", value.name), expected, got)
            };
            let wanted = format!("{} {}", value.dtype, value.shape);
            let Some(at) = states.index(&value.name) else {
                return Err(error(wanted, "nothing: it was not allocated".into()));
            };
            let state = states.get(at);
            if state.dtype() != value.dtype || Some(state.width) != value.shape.width() {
                return Err(error(wanted, format!("{} [{}, {}]", state.dtype(), state.rows, state.width)));
            }
            let rows = axes.map_or(0, |axes| value.shape.rows(axes));
            if state.rows < rows {
                return Err(error(format!("{rows} rows"), format!("{} rows", state.rows)));
            }
            found[id.0] = Some(at);
        }
        Ok(found)
    }

    fn is_used(&self, id: ValueId) -> bool {
        let graph = &self.plan.graph;
        graph.nodes.iter().any(|n| n.inputs.contains(&id)) || graph.outputs.values().any(|&o| o == id)
    }

    fn bind<'a>(&self, job: &Job<'a>) -> Vec<Option<Given<'a>>> {
        let graph = &self.plan.graph;
        let mut given: Vec<Option<Given<'a>>> = (0..graph.values.len()).map(|_| None).collect();
        for (id, value) in graph.of_source(Source::Input) {
            if !self.is_used(id) {
                continue;
            }
            // What has no elements need not be given.
            let input = job.inputs.get(value.name.as_str()).copied().unwrap_or_default();
            given[id.0] = Some(match value.dtype {
                DType::U32 => Given::U32(cast(input)),
                _ => Given::F32(cast(input)),
            });
        }
        given
    }

    /// Runs all nodes.
    pub(crate) fn run(
        &mut self,
        job: &Job<'_>,
        weights: &Weights,
        states: &mut States,
        work: &mut Work,
        product: Product<'_>,
        mut profile: Option<&mut Vec<OpTime>>,
    ) -> Result<Outputs, BackendError> {
        let axes = job.axes;
        let weight_of = Self::find_weights(&self.plan, weights)?;
        let state_of = Self::find_states(&self.plan, states, Some(&axes))?;
        check::job(&self.plan, job, &check::states(&self.plan, states)?, states)?;
        let given = self.bind(job);

        let graph = &self.plan.graph;
        let (slot_of, slots) = (&self.plan.slot_of, &mut self.slots);
        let inputs = values_of(graph.values.len(), &given);
        let frame_of = |node, values| Frame {
            graph,
            node,
            axes: &axes,
            product,
            values,
            state_of: &state_of,
            weights: &weights.list,
            weight_of: &weight_of,
        };
        let lookback = match profile {
            Some(_) => lookback(job),
            None => Lookback::default(),
        };
        for node in &graph.nodes {
            let begun = profile.is_some().then(Instant::now);
            let place = node.output.and_then(|id| slot_of[id.0]);
            let mut buffer = place.map(|slot| std::mem::take(&mut slots[slot.0])).unwrap_or_default();
            let len = node.output.map_or(0, |id| graph.value(id).shape.elements(&axes));
            let mut values = inputs.clone();
            for id in &node.inputs {
                if let Some(slot) = slot_of[id.0] {
                    values[id.0] = Some(made(graph.value(*id), &slots[slot.0], &axes));
                }
            }
            let result = match buffer.get_mut(..len) {
                Some(out) => {
                    let frame = Frame { values: &values, ..frame_of(node, &inputs) };
                    ops::run(&frame, states, work, out)
                }
                None => Err(BackendError::Device(format!("{}: no memory was planned for it", node.name))),
            };
            if let Some(slot) = place {
                slots[slot.0] = buffer;
            }
            result?;
            if let (Some(profile), Some(begun)) = (&mut profile, begun) {
                let seconds = begun.elapsed().as_secs_f64();
                let cost = Cost::of(graph, node, &axes, lookback, &|spec| weights.bytes(&spec.name));
                profile.push(OpTime::new(graph, node, cost, seconds));
            }
        }

        let mut outputs = Outputs::new();
        for &name in &job.read {
            let Some(&id) = graph.outputs.get(name) else { continue };
            let value = graph.value(id);
            let tensor = match (state_of[id.0], slot_of[id.0], inputs[id.0]) {
                (Some(state), _, _) => states.get(state).to_host(),
                (_, Some(slot), _) => to_host(value, made(value, &slots[slot.0], &axes), &axes),
                (_, _, Some(input)) => to_host(value, input, &axes),
                _ => return Err(BackendError::input(&graph.name, name, "a value that was made", "none")),
            };
            outputs.insert(name.to_owned(), tensor);
        }
        Ok(outputs)
    }
}

fn values_of<'a>(len: usize, given: &'a [Option<Given<'_>>]) -> Vec<Option<Slice<'a>>> {
    let slice = |given: &'a Option<Given<'_>>| {
        given.as_ref().map(|given| match given {
            Given::F32(v) => Slice::F32(v),
            Given::U32(v) => Slice::U32(v),
        })
    };
    let mut values: Vec<_> = given.iter().map(slice).collect();
    values.resize(len, None);
    values
}

/// What a node has left in its slot.
fn made<'a>(value: &Value, slot: &'a [f32], axes: &Axes) -> Slice<'a> {
    let part = &slot[..value.shape.elements(axes).min(slot.len())];
    match value.dtype {
        DType::U32 => Slice::U32(bytemuck::cast_slice(part)),
        _ => Slice::F32(part),
    }
}

fn to_host(value: &Value, slice: Slice<'_>, axes: &Axes) -> HostTensor {
    HostTensor { dtype: value.dtype, shape: value.shape.sizes(axes), bytes: slice.bytes().to_vec() }
}
