//! Loading random weights and timing the blocks.

use crate::graph::{Block, Sizes, graph};
use crate::request::{BackendName, Request, Rows, Weights};
use monolens_cpu::{CpuBackend, CpuOptions};
use monolens_graph::backend::ProgramId;
use monolens_graph::batch::{self, Batch, Chunk, NO_VISUAL, PAGE_SIZE};
use monolens_graph::plan::Plan;
use monolens_graph::{Axis, Backend, BackendError, DType, Graph, GraphError, WeightFormat, WeightSpec};
use monolens_models::quant::Quantizer;
use monolens_models::random::SplitMix;
use monolens_wgpu::{Tier, WgpuBackend, WgpuOptions};
use serde::Serialize;
use web_time::Instant;

/// Why nothing was timed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Widths that do not fit one another.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The request.
    #[error("{what}: expected {expected}, got {got}")]
    Request {
        /// Which part of it.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What it says.
        got: String,
    },
}

/// The measurements of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The device's name.
    pub device: String,
    /// Its tier or instruction set.
    pub tier: String,
    /// Driver, threads and the like.
    pub detail: String,
    /// One for each block and number of rows.
    pub timed: Vec<Timed>,
}

/// The measurements of one block.
#[derive(Clone, Debug, Serialize)]
pub struct Timed {
    /// The block.
    pub block: Block,
    /// Tokens of the step.
    pub rows: usize,
    /// How many of them are visual.
    pub visual: usize,
    /// Tokens before them.
    pub depth: usize,
    /// Each run, in order, until its result was in host memory.
    pub seconds: Vec<f64>,
}

/// Opens the device, loads one layer of random weights and times what was asked for.
///
/// # Errors
/// A request that cannot be met, saying why.
pub async fn run(request: &Request) -> Result<Report, Error> {
    check(request)?;
    let mut backend = open(request).await?;
    let backend = &mut *backend;
    let slots = request.rows.iter().map(|r| r.rows + r.depth).max().unwrap_or(1);
    let slots = slots.next_multiple_of(PAGE_SIZE) + PAGE_SIZE;
    let kv = backend.capabilities().kv_dtype;
    let layer = graph(Block::Layer, &request.sizes, kv)?;
    load(backend, &layer, request.weights)?;
    for name in [batch::key_state(0), batch::value_state(0)] {
        backend.allocate_state(&name, kv, slots, request.sizes.heads().kv_width())?;
    }
    let mut timed = Vec::new();
    for &block in &request.blocks {
        let graph = graph(block, &request.sizes, kv)?;
        for &rows in &request.rows {
            let step = Step::new(rows, &request.sizes, slots);
            let program = step.prepare(backend, &graph).await?;
            let mut seconds = Vec::new();
            for count in 0..=request.repeat {
                let took = step.run(backend, program, &graph).await?;
                // The first run does not count.
                if count > 0 {
                    seconds.push(took);
                }
            }
            timed.push(Timed { block, rows: rows.rows, visual: rows.visual, depth: rows.depth, seconds });
        }
    }
    let device = backend.device().clone();
    Ok(Report { device: device.name, tier: device.tier, detail: device.detail, timed })
}

fn check(request: &Request) -> Result<(), Error> {
    for rows in &request.rows {
        if rows.rows == 0 || rows.visual > rows.rows {
            return Err(Error::Request {
                what: "rows",
                expected: "at least one row, and no more visual rows than rows".into(),
                got: format!("{} rows, {} visual", rows.rows, rows.visual),
            });
        }
    }
    if request.repeat == 0 {
        let expected = "at least 1".into();
        return Err(Error::Request { what: "repeat", expected, got: "0".into() });
    }
    Ok(())
}

async fn open(request: &Request) -> Result<Box<dyn Backend>, Error> {
    if request.backend == BackendName::Cpu {
        return Ok(Box::new(CpuBackend::new(CpuOptions::default())?));
    }
    let tier = request.tier.as_deref().map(|name| {
        Tier::from_name(name).ok_or_else(|| Error::Request {
            what: "tier",
            expected: "baseline, half or subgroups".into(),
            got: name.into(),
        })
    });
    let (adapter, tier) = (request.device.clone(), tier.transpose()?);
    let options = WgpuOptions { adapter, tier, allow_software: true, ..WgpuOptions::default() };
    Ok(Box::new(WgpuBackend::open(options).await?))
}

fn load(backend: &mut dyn Backend, graph: &Graph, weights: Weights) -> Result<(), BackendError> {
    let mut rng = SplitMix::new(1);
    for spec in &graph.weights {
        let len: usize = spec.shape.iter().product();
        let vector = spec.shape.len() == 1;
        let scale = if vector { 0.1 } else { (3.0 / spec.shape[1] as f32).sqrt() };
        let shift = if vector { 1.0 } else { 0.0 };
        let mut value = || shift + scale * ((rng.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0);
        let values: Vec<f32> = (0..len).map(|_| value()).collect();
        write(backend, spec, &values, weights)?;
    }
    Ok(())
}

fn write(
    backend: &mut dyn Backend,
    spec: &WeightSpec,
    values: &[f32],
    weights: Weights,
) -> Result<(), BackendError> {
    let rounded = match weights {
        Weights::Rounded(wish) => wish.format(&spec.name, &spec.shape),
        Weights::F32 | Weights::Bf16 => None,
    };
    if let Some(format) = rounded {
        let mut quantizer = Quantizer::new(format);
        let mut words = Vec::new();
        quantizer.push(values, &mut words);
        backend.begin_weight(spec, WeightFormat::Grouped(quantizer.format()))?;
        backend.write_weight(&words)?;
        backend.write_weight(&quantizer.finish().0)?;
    } else if weights == Weights::F32 {
        backend.begin_weight(spec, DType::F32.into())?;
        backend.write_weight(bytemuck::cast_slice(values))?;
    } else {
        backend.begin_weight(spec, DType::BF16.into())?;
        let halves: Vec<half::bf16> = values.iter().map(|&v| half::bf16::from_f32(v)).collect();
        backend.write_weight(bytemuck::cast_slice(&halves))?;
    }
    backend.end_weight()
}

/// A step's inputs.
struct Step {
    batch: Batch,
    slots: usize,
    x: Vec<f32>,
}

impl Step {
    /// The visual rows stand in one run in the middle of the step.
    fn new(of: Rows, sizes: &Sizes, slots: usize) -> Self {
        let first = (of.rows - of.visual) / 2;
        let visual: Vec<u32> = (0..of.rows)
            .map(|i| if (first..first + of.visual).contains(&i) { (i - first) as u32 } else { NO_VISUAL })
            .collect();
        let ids = vec![7; of.rows];
        let pages: Vec<u32> = (0..(slots / PAGE_SIZE) as u32).collect();
        let angle = |i: usize| {
            let (row, e) = (i / sizes.head, i % sizes.head);
            let half = sizes.head / 2;
            let frequency = 1e6f32.powf(-((e % half) as f32) / half as f32);
            let angle = (of.depth + row) as f32 * frequency;
            if e < half { angle.cos() } else { angle.sin() }
        };
        let rope: Vec<f32> = (0..of.rows * sizes.head).map(angle).collect();
        let chunk = Chunk {
            ids: &ids,
            visual: &visual,
            start: of.depth,
            pages: &pages,
            rope: &rope,
            ..Chunk::default()
        };
        let x = (0..of.rows * sizes.hidden).map(|i| (i * 7919 % 1000) as f32 / 500.0 - 1.0).collect();
        Self { batch: Batch::pack(&[chunk], 32), slots, x }
    }

    async fn prepare(&self, backend: &mut dyn Backend, graph: &Graph) -> Result<ProgramId, BackendError> {
        let limits = self.batch.axes(self.slots, 0).with(Axis::Context, self.slots);
        let plan = if self.batch.is_text_only() { Plan::text_only } else { Plan::new };
        let plan = plan(graph, backend.capabilities(), limits);
        backend.prepare(plan).await
    }

    /// Seconds of one run.
    async fn run(
        &self,
        backend: &mut dyn Backend,
        program: ProgramId,
        graph: &Graph,
    ) -> Result<f64, BackendError> {
        let mut job = self.batch.job(self.slots, 0);
        job.input("x", bytemuck::cast_slice(&self.x));
        job.read.extend(graph.outputs.keys().map(String::as_str));
        let start = Instant::now();
        backend.run(program, &job).await?;
        Ok(start.elapsed().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Request {
        let sizes = Sizes { hidden: 128, inner: 256, heads: 4, kv_heads: 2, head: 32 };
        let rows = vec![Rows { rows: 40, visual: 24, depth: 0 }, Rows { rows: 1, visual: 0, depth: 40 }];
        Request { sizes, rows, repeat: 2, ..Request::default() }
    }

    #[test]
    fn every_block_is_timed_with_every_number_of_rows() {
        for weights in ["\"f32\"", "\"bf16\"", "\"8bit\"", "\"4bit\""] {
            let weights = serde_json::from_str(weights).unwrap();
            let report = pollster::block_on(run(&Request { weights, ..small() })).unwrap();
            assert_eq!(report.timed.len(), 6);
            assert!(report.timed.iter().all(|t| t.seconds.len() == 2 && t.seconds.iter().all(|&s| s > 0.0)));
        }
    }

    #[test]
    fn impossible_rows_are_refused() {
        let rows = vec![Rows { rows: 4, visual: 5, depth: 0 }];
        let error = pollster::block_on(run(&Request { rows, ..small() })).unwrap_err();
        assert!(error.to_string().contains("no more visual rows"), "{error}");
    }
}
