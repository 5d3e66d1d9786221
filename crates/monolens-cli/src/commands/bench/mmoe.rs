//! `monolens bench mmoe`: the routed feed-forward network of one layer, against computing both experts for every row, and
//! against gathering the rows of each modality.

use crate::args::{DeviceArgs, WeightArgs};
use crate::bench::table::{Format, Table, number};
use crate::bench::timing::Timing;
use crate::exit::Outcome;
use crate::session::device_line;
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Context, Result};
use clap::Args;
use monolens_engine::open_backend;
use monolens_graph::backend::{Job, ProgramId};
use monolens_graph::batch::{self, ROUTE_BLOCK};
use monolens_graph::plan::Plan;
use monolens_graph::{
    Axes, Axis, Backend, DType, Expert, Graph, GraphBuilder, GraphError, Routed, ValueId, WeightFormat,
    WeightSpec, ops,
};
use monolens_models::quant::Quantizer;
use monolens_models::random::SplitMix;
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Options of `monolens bench mmoe`.
#[derive(Args, Clone, Debug)]
pub struct MmoeArgs {
    /// A model folder or .safetensors file, for its sizes (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// A random model's sizes.
    #[command(flatten)]
    pub random: RandomArgs,
    /// How weights are stored.
    #[command(flatten)]
    pub weights: WeightArgs,
    /// Tokens of the batch
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "256,1024")]
    pub tokens: Vec<usize>,
    /// Share of them that is visual, in per cent
    #[arg(long, value_name = "P,P", value_delimiter = ',', default_value = "0,25,50,90,100",
        value_parser = clap::value_parser!(u8).range(0..=100))]
    pub visual: Vec<u8>,
    /// Measurements of each, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub repeat: u16,
    /// How the table is written
    #[arg(long, value_enum, default_value = "md")]
    pub format: Format,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

const COLUMNS: [&str; 9] = [
    "tokens",
    "visual",
    "order",
    "routed, s",
    "spread",
    "both, s",
    "both / routed",
    "gathered, s",
    "gathered / routed",
];

/// Width of a row and of the inner layer.
type Sizes = [usize; 2];

/// Runs the command.
///
/// # Errors
/// For a device that is not there or cannot hold the weights.
pub fn run(args: &MmoeArgs, quiet: bool) -> Result<Outcome> {
    let model = ModelSource::of(&args.random, args.model.as_ref())?.open()?;
    let d = &model.config().decoder;
    let sizes = [d.hidden_size, d.intermediate_size];
    let mut opened = pollster::block_on(open_backend(&args.device.choice()))?;
    let backend = &mut *opened.backend;
    load(backend, args, sizes)?;
    let most = args.tokens.iter().copied().max().context("expected some numbers of tokens, got none")?;
    let mut bench = Bench::new(backend, sizes, most, usize::from(args.repeat))?;
    let mut table = Table::new(&COLUMNS);
    for &tokens in args.tokens.iter().filter(|&&n| n > 0) {
        for &share in &args.visual {
            let visual = tokens * usize::from(share) / 100;
            let orders: &[&str] =
                if visual == 0 || visual == tokens { &["runs"] } else { &["runs", "interleaved"] };
            for &order in orders {
                let mask = mask(tokens, visual, order == "interleaved");
                let routed = bench.routed(&mask)?;
                let both = bench.both(tokens)?;
                let gathered = bench.gathered(&mask)?;
                let ratio = |other: &Timing| number(other.median / routed.median);
                table.row(vec![
                    json!(tokens),
                    json!(format!("{share} %")),
                    json!(order),
                    number(routed.median),
                    json!(routed.spread_text()),
                    number(both.median),
                    ratio(&both),
                    number(gathered.median),
                    ratio(&gathered),
                ]);
            }
        }
    }
    if !quiet {
        let weights = args.weights.weights.map_or("bf16".to_owned(), |wish| wish.to_string());
        eprintln!("widths {sizes:?}, weights {weights}, {}", device_line(opened.backend.device()));
    }
    io::stdout().lock().write_all(table.show(args.format).as_bytes())?;
    Ok(Outcome::Fine)
}

/// Which rows are visual: one run in the middle, or spread evenly.
fn mask(tokens: usize, visual: usize, interleaved: bool) -> Vec<bool> {
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
fn load(backend: &mut dyn Backend, args: &MmoeArgs, [width, inner]: Sizes) -> Result<()> {
    let mut rng = SplitMix::new(1);
    for name in ["feed_forward", "feed_forward_ve"].iter().flat_map(|expert| names(expert)) {
        let shape = if name.contains("w2") { [width, inner] } else { [inner, width] };
        let scale = (3.0 / shape[1] as f32).sqrt();
        let mut value = || ((rng.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale;
        let values: Vec<f32> = (0..shape[0] * shape[1]).map(|_| value()).collect();
        // The rule for a layer's weights goes by their full names.
        let full = format!("language_model.model.{name}");
        let rounded = args.weights.weights.and_then(|wish| wish.format(&full, &shape));
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
    let norm = WeightSpec { name: "norm".into(), shape: vec![width] };
    backend.begin_weight(&norm, DType::F32.into())?;
    backend.write_weight(&1f32.to_le_bytes().repeat(width))?;
    Ok(backend.end_weight()?)
}

/// The programs that are compared.
struct Bench<'a> {
    backend: &'a mut dyn Backend,
    width: usize,
    repeat: usize,
    routed: ProgramId,
    both: ProgramId,
    /// Gather and one expert, for each.
    gathered: [ProgramId; 2],
    x: Vec<u8>,
}

impl<'a> Bench<'a> {
    fn new(backend: &'a mut dyn Backend, sizes: Sizes, most: usize, repeat: usize) -> Result<Self> {
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
        let value = |i: usize| (i * 7919 % 1000) as f32 / 500.0 - 1.0;
        let x = (0..most * sizes[0]).flat_map(|i| value(i).to_le_bytes()).collect();
        Ok(Self { backend, width: sizes[0], repeat, routed, both, gathered: [text, visual], x })
    }

    fn time(&mut self, runs: &[(ProgramId, Axes, &[u32])]) -> Result<Timing> {
        let x = &self.x;
        let width = self.width;
        let backend = &mut *self.backend;
        Timing::measure(self.repeat, || {
            let start = Instant::now();
            for (program, axes, table) in runs {
                let mut job = Job::new(*axes);
                let table: &[u8] = bytemuck::cast_slice(table);
                job.input("x", &x[..axes.get(Axis::Rows) * width * 4]);
                job.input(batch::ROUTING, table).input(batch::SAMPLE_ROWS, table).read("y");
                pollster::block_on(backend.run(*program, &job))?;
            }
            Ok(start.elapsed().as_secs_f64())
        })
    }

    fn routed(&mut self, mask: &[bool]) -> Result<Timing> {
        let table = batch::routing(mask);
        let blocks = table.len() / (1 + ROUTE_BLOCK);
        let axes = Axes::new().with(Axis::Rows, mask.len()).with(Axis::RouteBlocks, blocks);
        self.time(&[(self.routed, axes, &table[..])])
    }

    fn both(&mut self, rows: usize) -> Result<Timing> {
        self.time(&[(self.both, Axes::new().with(Axis::Rows, rows), &[][..])])
    }

    /// What brings the rows back to their places is not counted, in favour of this one.
    fn gathered(&mut self, mask: &[bool]) -> Result<Timing> {
        let rows = |visual: bool| -> Vec<u32> {
            (0..mask.len() as u32).filter(|&i| mask[i as usize] == visual).collect()
        };
        let [text, visual] = [rows(false), rows(true)];
        let axes = |rows: &[u32]| Axes::new().with(Axis::Rows, mask.len()).with(Axis::Samples, rows.len());
        let all =
            [(self.gathered[0], axes(&text), &text[..]), (self.gathered[1], axes(&visual), &visual[..])];
        let some: Vec<_> = all.into_iter().filter(|(_, _, rows)| !rows.is_empty()).collect();
        self.time(&some)
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

fn rows_of_x(g: &mut GraphBuilder, width: usize) -> ValueId {
    g.input("x", DType::F32, [Axis::Rows.into(), width.into()])
}

fn routed_graph(sizes: Sizes) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("routed");
    let x = rows_of_x(&mut g, sizes[0]);
    let shape = [Axis::RouteBlocks.into(), (1 + ROUTE_BLOCK).into()];
    let routing = g.input(batch::ROUTING, DType::U32, shape);
    let y = feed_forward(&mut g, sizes, x, &["feed_forward", "feed_forward_ve"], Some(routing))?;
    g.output("y", y)?;
    Ok(g.finish())
}

fn both_graph(sizes: Sizes) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("both");
    let x = rows_of_x(&mut g, sizes[0]);
    let text = feed_forward(&mut g, sizes, x, &["feed_forward"], None)?;
    let visual = feed_forward(&mut g, sizes, x, &["feed_forward_ve"], None)?;
    // In place of the choice by mask: one more pass over both results.
    let y = g.push("blend", ops::Add, &[text, visual])?;
    g.output("y", y)?;
    Ok(g.finish())
}

fn gathered_graph(sizes: Sizes, expert: &str) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("gathered");
    let x = rows_of_x(&mut g, sizes[0]);
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
