//! Finds, for the projections of a model, the presets with which a wgpu device is the fastest.

use super::limits::{floats, load};
use super::timing::Timing;
use anyhow::Result;
use monolens_engine::Quantization;
use monolens_engine::tuning::{Choice, Class, Decode, Tuning, WgpuBackend};
use monolens_graph::backend::{Job, ProgramId};
use monolens_graph::plan::{Capabilities, Plan};
use monolens_graph::{
    Axes, Axis, Backend, BackendError, DType, Dim, Graph, GraphBuilder, GraphError, Op, ValueId,
    WeightFormat, ops,
};
use monolens_models::Model;
use monolens_models::graphs::DecoderOptions;
use std::collections::BTreeMap;
use std::time::Instant;

/// Bytes of weights that pass one after the other before the first comes again, so that no cache holds them.
const PASSING: usize = 128 << 20;
/// Most weights that do.
const MOST_COPIES: usize = 16;
/// Weight rows of a projection that is measured at most; more take as long each.
const MOST_OUTPUTS: usize = 16_384;
/// A preset is taken in place of the default if it is faster by this much: less may be chance.
const GAIN: f64 = 1.05;

/// Projections of a model that share a choice, by the first of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Projection {
    /// What they share.
    pub class: Class,
    /// How its weights are stored.
    pub format: WeightFormat,
    /// Elements of a weight row.
    pub inner: usize,
    /// Rows of a matrix.
    pub outputs: usize,
    /// Two if it is a gate and an up projection.
    pub matrices: usize,
    /// Whether one or a few rows are projected.
    pub few: bool,
    /// Whether many rows are.
    pub many: bool,
}

/// The projections of a model, one of a class, with weights as they are loaded.
///
/// # Errors
/// A model that contradicts itself.
pub fn projections(
    model: &Model,
    wish: Option<Quantization>,
    capabilities: &Capabilities,
) -> Result<Vec<Projection>> {
    let decoder = model.decoder_graph(&DecoderOptions::default())?;
    let mut all: Vec<Projection> = Vec::new();
    let mut place: BTreeMap<Class, usize> = BTreeMap::new();
    for graph in [decoder, model.vision_graph(false)?] {
        let graph = Plan::new(&graph, capabilities, Axes::new()).graph;
        for node in &graph.nodes {
            let (weight, matrices) = match &node.op {
                Op::Linear(op) => (op.matrices()[0], 1),
                Op::QkvRope(op) => (op.weight.text, 1),
                Op::GateUp(op) => (op.gate.text, 2),
                _ => continue,
            };
            let spec = graph.weight(weight);
            let (outputs, inner) = spec.rows();
            let format = model.supply(spec, wish)?.format();
            let class = Class::of(format, inner, matrices * outputs);
            let rows = graph.value(node.inputs[0]).shape.0.first().copied();
            let is = |axis: Axis| rows == Some(Dim::Axis(axis));
            let at = *place.entry(class).or_insert(all.len());
            if at == all.len() {
                let outputs = outputs.min(MOST_OUTPUTS / matrices);
                all.push(Projection { class, format, inner, outputs, matrices, few: false, many: false });
            }
            all[at].few |= is(Axis::Rows) || is(Axis::Samples);
            all[at].many |= is(Axis::Rows) || is(Axis::Tiles);
        }
    }
    Ok(all)
}

impl Projection {
    /// Operations for so many rows.
    pub fn flops(&self, rows: usize) -> f64 {
        2.0 * (rows * self.inner * self.outputs * self.matrices) as f64
    }

    /// Bytes of its weights.
    pub fn bytes(&self) -> usize {
        let one = self.format.bytes(&[self.outputs, self.inner]);
        self.matrices * one.unwrap_or(4 * self.outputs * self.inner)
    }

    /// So many of them, with weights of their own, on the same rows.
    fn graph(&self, copies: usize) -> Result<Graph, GraphError> {
        let mut g = GraphBuilder::new("tune");
        let x = g.input("x", DType::F32, [Axis::Rows.into(), self.inner.into()]);
        for i in 0..copies {
            let linear = |g: &mut GraphBuilder, name: String, x: ValueId| {
                let weight = g.weight(name.clone(), [self.outputs, self.inner]);
                g.push(name, ops::Linear::shared(weight, None), &[x])
            };
            let y = if self.matrices == 2 {
                let weight = g.weight("norm", [self.inner]);
                let z = g.push(format!("norm.{i}"), ops::RmsNorm { weight, eps: 1e-5 }, &[x])?;
                let gate = linear(&mut g, format!("gate.{i}"), z)?;
                let up = linear(&mut g, format!("up.{i}"), z)?;
                g.push(format!("swiglu.{i}"), ops::SwiGlu, &[gate, up])?
            } else {
                linear(&mut g, format!("linear.{i}"), x)?
            };
            g.output(format!("y.{i}"), y)?;
        }
        Ok(g.finish())
    }
}

/// A preset under measurement.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its name.
    pub name: String,
    /// The choice of it.
    pub choice: Choice,
    /// Of one projection, round by round: those of all presets go by turns, so that other work touches all.
    pub seconds: Vec<f64>,
}

impl Measured {
    /// Median and spread.
    pub fn timing(&self) -> Timing {
        Timing::of(self.seconds.clone())
    }

    /// How many times as fast as another: the median of the rounds' ratios.
    pub fn gain_over(&self, other: &Self) -> f64 {
        Timing::of(self.seconds.iter().zip(&other.seconds).map(|(own, other)| other / own).collect()).median
    }
}

/// The number of the one to take; the first is the default.
pub fn best(measured: &[Measured]) -> usize {
    let gains = measured.iter().map(|one| one.gain_over(&measured[0]));
    let fastest = gains.enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    fastest.filter(|&(_, gain)| gain >= GAIN).map_or(0, |(at, _)| at)
}

/// The presets for one row (decode), measured on a backend of their own.
///
/// # Errors
/// Those of the device.
pub fn decode(backend: &mut WgpuBackend, projection: &Projection, repeat: usize) -> Result<Vec<Measured>> {
    let copies = PASSING.div_ceil(projection.bytes().max(1)).clamp(1, MOST_COPIES);
    let choices = Decode::ALL.map(|p| (p.to_string(), Choice { prefill: None, decode: Some(p) }));
    measure(backend, projection, [1, copies], choices.into(), repeat)
}

/// The presets for so many rows (prefill), likewise.
///
/// # Errors
/// Those of the device.
pub fn prefill(
    backend: &mut WgpuBackend,
    projection: &Projection,
    rows: usize,
    repeat: usize,
) -> Result<Vec<Measured>> {
    // The host's clock counts what a submit takes too: spread over some.
    let copies = if backend.has_clock() { 1 } else { 4 };
    let presets = backend.prefill_presets(projection.format).into_iter();
    let choices = presets.map(|p| (p.to_string(), Choice { prefill: Some(p), decode: None }));
    measure(backend, projection, [rows, copies], choices.collect(), repeat)
}

fn measure(
    backend: &mut WgpuBackend,
    projection: &Projection,
    [rows, copies]: [usize; 2],
    choices: Vec<(String, Choice)>,
    repeat: usize,
) -> Result<Vec<Measured>> {
    let graph = projection.graph(copies)?;
    for spec in &graph.weights {
        let format = if spec.shape.len() == 1 { DType::F32.into() } else { projection.format };
        load(backend, spec, format)?;
    }
    let axes = Axes::new().with(Axis::Rows, rows);
    let (mut programs, mut measured) = (Vec::new(), Vec::new());
    for (name, choice) in choices {
        backend.set_tuning(Tuning::everywhere(choice));
        let plan = Plan::new(&graph, backend.capabilities(), axes);
        programs.push(pollster::block_on(backend.prepare(plan))?);
        measured.push(Measured { name, choice, seconds: Vec::new() });
    }
    let x = floats(rows * projection.inner, DType::F32);
    let mut job = Job::new(axes);
    job.input("x", &x);
    for round in 0..=repeat {
        for (&program, measured) in programs.iter().zip(&mut measured) {
            let seconds = seconds(backend, program, &job)? / copies as f64;
            // The first round does not count.
            if round > 0 {
                measured.seconds.push(seconds);
            }
        }
    }
    Ok(measured)
}

/// Seconds of a run, by the device's own clock where it has one.
fn seconds(backend: &mut WgpuBackend, program: ProgramId, job: &Job<'_>) -> Result<f64, BackendError> {
    if backend.has_clock() {
        backend.profile(true);
        pollster::block_on(backend.run(program, job))?;
        return Ok(backend.profile(false).unwrap_or_default().iter().map(|time| time.seconds).sum());
    }
    pollster::block_on(backend.settle())?;
    let start = Instant::now();
    pollster::block_on(backend.run(program, job))?;
    pollster::block_on(backend.settle())?;
    Ok(start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolens_graph::plan::Fusions;
    use monolens_models::checkpoint::DType as StoredDType;
    use monolens_models::random::Preset;

    #[test]
    fn the_projections_of_the_two_billion_model_are_a_few_kinds() {
        let model = Model::random(Preset::Mono2b, StoredDType::BF16, 1, None).unwrap();
        let capabilities =
            Capabilities { fusions: Fusions::ALL, max_binding: u64::MAX, kv_dtype: DType::BF16 };
        let of = |wish: Option<&str>| {
            let wish = wish.map(|w| w.parse().unwrap());
            projections(&model, wish, &capabilities).unwrap()
        };
        let stored = of(None);
        let has = |inner: usize, outputs: usize, matrices: usize| {
            stored
                .iter()
                .any(|p| [p.inner, p.outputs, p.matrices] == [inner, outputs, matrices] && p.few && p.many)
        };
        assert!(
            has(2048, 4096, 1) && has(2048, 2048, 1) && has(8192, 2048, 1) && has(2048, 8192, 2),
            "{stored:?}"
        );
        assert!(stored.len() < 12, "{stored:?}");
        assert!(stored.iter().all(|p| p.outputs * p.matrices <= MOST_OUTPUTS));
        // In 4 bits the output projection is in 8, and only ever sees the rows that are sampled.
        let four = of(Some("4bit"));
        let output = four.iter().find(|p| p.outputs == MOST_OUTPUTS).unwrap();
        assert!(output.few && !output.many && output.class.to_string() == "q8 2048 16384", "{output:?}");
    }

    fn measured(seconds: &[f64]) -> Measured {
        Measured { name: String::new(), choice: Choice::default(), seconds: seconds.to_vec() }
    }

    #[test]
    fn the_default_stays_unless_another_is_clearly_faster() {
        let default = measured(&[1.0, 1.0, 1.0]);
        let slower = measured(&[1.2, 1.3, 1.2]);
        let hardly = measured(&[0.97, 0.96, 0.97]);
        let faster = measured(&[0.9, 0.91, 2.0]);
        assert_eq!(best(std::slice::from_ref(&default)), 0);
        assert_eq!(best(&[default.clone(), slower.clone(), hardly.clone()]), 0);
        assert_eq!(best(&[default, slower, hardly, faster]), 3);
    }

    #[test]
    fn other_work_that_touches_a_whole_round_changes_nothing() {
        let default = measured(&[1.0, 5.0, 1.0, 9.0, 1.0]);
        let rival = measured(&[0.8, 4.0, 0.8, 7.2, 0.8]);
        assert!((rival.gain_over(&default) - 1.25).abs() < 1e-12);
        assert_eq!(best(&[default, rival]), 1);
    }
}
