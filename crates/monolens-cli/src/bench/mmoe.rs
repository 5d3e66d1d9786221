//! The routed feed-forward network of one layer beside its alternatives, as programs of one backend.

use anyhow::Result;
use monolens_engine::Quantization;
use monolens_graph::backend::{Job, ProgramId};
use monolens_graph::batch::{self, ROUTE_BLOCK, RowInfo};
use monolens_graph::plan::Plan;
use monolens_graph::{
    Axes, Axis, Backend, DType, Expert, Graph, GraphBuilder, GraphError, Routed, ValueId, WeightFormat,
    WeightSpec, ops,
};
use monolens_models::quant::Quantizer;
use monolens_models::random::SplitMix;
use std::time::Instant;

/// Rows that x is made of.
const TABLE: usize = 1024;

/// Width of a row and of the inner layer.
pub type Sizes = [usize; 2];

/// Which rows are visual: one run in the middle, or spread evenly.
pub fn mask(tokens: usize, visual: usize, interleaved: bool) -> Vec<bool> {
    let first = (tokens - visual) / 2;
    let is_visual = |i: usize| match interleaved {
        true => (i + 1) * visual / tokens > i * visual / tokens,
        false => (first..first + visual).contains(&i),
    };
    (0..tokens).map(is_visual).collect()
}

/// Names of the weights of one expert.
fn names(expert: &str) -> [String; 3] {
    ["w1", "w3", "w2"].map(|part| format!("layers.0.{expert}.{part}.weight"))
}

/// Random weights of both experts in the format that was asked for, bf16 if none was.
///
/// # Errors
/// Those of the device.
pub fn load(backend: &mut dyn Backend, wish: Option<Quantization>, [width, inner]: Sizes) -> Result<()> {
    let mut rng = SplitMix::new(1);
    for name in ["feed_forward", "feed_forward_ve"].iter().flat_map(|expert| names(expert)) {
        let shape = if name.contains("w2") { [width, inner] } else { [inner, width] };
        let scale = (3.0 / shape[1] as f32).sqrt();
        let mut value = || ((rng.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale;
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| value()).collect();
        // The rule for a layer's weights goes by their full names.
        let full = format!("language_model.model.{name}");
        let rounded = wish.and_then(|wish| wish.format(&full, &shape));
        let spec = WeightSpec { name, shape: shape.to_vec() };
        match rounded {
            None => {
                backend.begin_weight(&spec, DType::BF16.into())?;
                let bytes = values.iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes());
                backend.write_weight(&bytes.collect::<Vec<u8>>())?;
            }
            Some(format) => {
                let mut quantizer = Quantizer::new(format);
                let mut words = Vec::new();
                quantizer.push(&values, &mut words);
                backend.begin_weight(&spec, WeightFormat::Grouped(quantizer.format()))?;
                backend.write_weight(&words)?;
                backend.write_weight(&quantizer.finish().0)?;
            }
        }
        backend.end_weight()?;
    }
    let table = WeightSpec { name: "table".into(), shape: vec![TABLE, width] };
    let value = |i: usize| half::bf16::from_f32((i * 7919 % 1000) as f32 / 500.0 - 1.0);
    backend.begin_weight(&table, DType::BF16.into())?;
    backend.write_weight(&(0..TABLE * width).flat_map(|i| value(i).to_le_bytes()).collect::<Vec<u8>>())?;
    backend.end_weight()?;
    let norm = WeightSpec { name: "norm".into(), shape: vec![width] };
    backend.begin_weight(&norm, DType::F32.into())?;
    backend.write_weight(&1f32.to_le_bytes().repeat(width))?;
    Ok(backend.end_weight()?)
}

/// Seconds of the three ways, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Each row with its own experts.
    pub routed: f64,
    /// Both experts for every row.
    pub both: f64,
    /// Rows of each modality gathered first. What brings them back to their places is not counted, in favour of this way.
    pub gathered: f64,
}

/// The programs that are compared.
pub struct Ways<'a> {
    backend: &'a mut dyn Backend,
    routed: ProgramId,
    both: ProgramId,
    /// Gather and one expert, for each.
    gathered: [ProgramId; 2],
    /// One row that is read back: then all before it is done.
    end: ProgramId,
    rows: Vec<RowInfo>,
}

impl<'a> Ways<'a> {
    /// For batches of at most `most` rows; weights are loaded.
    ///
    /// # Errors
    /// Those of the device.
    pub fn new(backend: &'a mut dyn Backend, sizes: Sizes, most: usize) -> Result<Self> {
        let limits = Axes::new()
            .with(Axis::Rows, most)
            .with(Axis::Samples, most)
            .with(Axis::RouteBlocks, most.div_ceil(ROUTE_BLOCK));
        let mut prepare = |graph: Result<Graph, GraphError>| {
            let plan = Plan::new(&graph?, backend.capabilities(), limits);
            anyhow::Ok(pollster::block_on(backend.prepare(plan))?)
        };
        let routed = prepare(routed_graph(sizes))?;
        let both = prepare(both_graph(sizes))?;
        let text = prepare(gathered_graph(sizes, "feed_forward"))?;
        let visual = prepare(gathered_graph(sizes, "feed_forward_ve"))?;
        let end = prepare(one_row(sizes))?;
        let row = |i| RowInfo { id: (i % TABLE) as u32, kv_slot: 0, position: 0, sequence: 0 };
        let rows = (0..most.max(1)).map(row).collect();
        Ok(Self { backend, routed, both, gathered: [text, visual], end, rows })
    }

    /// Rows of which these are visual.
    ///
    /// # Errors
    /// Those of the device.
    pub fn round(&mut self, mask: &[bool]) -> Result<Round> {
        let rows = Axes::new().with(Axis::Rows, mask.len());
        let table = batch::routing(mask);
        let blocks = rows.with(Axis::RouteBlocks, table.len() / (1 + ROUTE_BLOCK));
        let routed = self.seconds(self.routed, blocks, &table)?;
        let both = self.seconds(self.both, rows, &[])?;
        let mut gathered = 0.0;
        for (program, visual) in self.gathered.into_iter().zip([false, true]) {
            let picked: Vec<u32> = (0..mask.len() as u32).filter(|&i| mask[i as usize] == visual).collect();
            if !picked.is_empty() {
                gathered += self.seconds(program, rows.with(Axis::Samples, picked.len()), &picked)?;
            }
        }
        Ok(Round { routed, both, gathered })
    }

    /// Neither the rows of x nor those of the result cross the bus: on a GPU that would take longer than the work.
    fn seconds(&mut self, program: ProgramId, axes: Axes, table: &[u32]) -> Result<f64> {
        let start = Instant::now();
        let mut job = Job::new(axes);
        let table: &[u8] = bytemuck::cast_slice(table);
        job.input(batch::ROWS, bytemuck::cast_slice(&self.rows[..axes.get(Axis::Rows)]));
        job.input(batch::ROUTING, table).input(batch::SAMPLE_ROWS, table);
        pollster::block_on(self.backend.run(program, &job))?;
        let mut end = Job::new(Axes::new().with(Axis::Rows, 1));
        end.input(batch::ROWS, bytemuck::cast_slice(&self.rows[..1])).read("y");
        pollster::block_on(self.backend.run(self.end, &end))?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// x + w2 · (silu(w1 · norm(x)) ∘ w3 · norm(x)), each row with the experts that are named.
fn feed_forward(
    g: &mut GraphBuilder,
    [width, inner]: Sizes,
    x: ValueId,
    experts: &[&str],
    routing: Option<ValueId>,
) -> Result<ValueId, GraphError> {
    let weight = g.weight("norm", [width]);
    let z = g.push("norm", ops::RmsNorm { weight, eps: 1e-5 }, &[x])?;
    let linear = |g: &mut GraphBuilder, part: usize, shape: [usize; 2], x: ValueId| {
        let mut of = |expert: &str| Expert::Weight(g.weight(names(expert)[part].clone(), shape));
        let text = of(experts[0]);
        let visual = experts.get(1).map(|expert| of(expert));
        let op = ops::Linear::routed(Routed { text, visual }, None);
        let inputs: Vec<ValueId> = std::iter::once(x).chain(routing).collect();
        g.push(format!("{}.{part}", experts[0]), op, &inputs)
    };
    let gate = linear(g, 0, [inner, width], z)?;
    let up = linear(g, 1, [inner, width], z)?;
    let h = g.push("swiglu", ops::SwiGlu, &[gate, up])?;
    let down = linear(g, 2, [width, inner], h)?;
    g.push("add", ops::Add, &[x, down])
}

/// Made on the device, from a table that is there.
fn rows_of_x(g: &mut GraphBuilder, width: usize) -> Result<ValueId, GraphError> {
    let rows = g.input(batch::ROWS, DType::U32, [Axis::Rows.into(), 4.into()]);
    let table = g.weight("table", [TABLE, width]);
    g.push("x", ops::Embed { table }, &[rows])
}

fn one_row(sizes: Sizes) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("one row");
    let x = rows_of_x(&mut g, sizes[0])?;
    g.output("y", x)?;
    Ok(g.finish())
}

fn routed_graph(sizes: Sizes) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("routed");
    let x = rows_of_x(&mut g, sizes[0])?;
    let shape = [Axis::RouteBlocks.into(), (1 + ROUTE_BLOCK).into()];
    let routing = g.input(batch::ROUTING, DType::U32, shape);
    let y = feed_forward(&mut g, sizes, x, &["feed_forward", "feed_forward_ve"], Some(routing))?;
    g.output("y", y)?;
    Ok(g.finish())
}

fn both_graph(sizes: Sizes) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("both");
    let x = rows_of_x(&mut g, sizes[0])?;
    let text = feed_forward(&mut g, sizes, x, &["feed_forward"], None)?;
    let visual = feed_forward(&mut g, sizes, x, &["feed_forward_ve"], None)?;
    // In place of the choice by mask: one more pass over both results.
    let y = g.push("blend", ops::Add, &[text, visual])?;
    g.output("y", y)?;
    Ok(g.finish())
}

fn gathered_graph(sizes: Sizes, expert: &str) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("gathered");
    let x = rows_of_x(&mut g, sizes[0])?;
    let picked = g.input(batch::SAMPLE_ROWS, DType::U32, [Axis::Samples.into()]);
    let x = g.push("gather", ops::GatherRows, &[x, picked])?;
    let y = feed_forward(&mut g, sizes, x, &[expert], None)?;
    g.output("y", y)?;
    Ok(g.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_as_many_visual_rows_as_asked_for() {
        for (tokens, visual) in [(10, 0), (10, 10), (16, 4), (17, 9)] {
            for interleaved in [false, true] {
                let mask = mask(tokens, visual, interleaved);
                assert_eq!(mask.iter().filter(|&&v| v).count(), visual);
            }
        }
        assert_eq!(mask(4, 2, true), [false, true, false, true]);
        assert_eq!(mask(4, 2, false), [false, true, true, false]);
    }
}
