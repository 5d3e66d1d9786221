//! `monolens bench ops`: the time of each operator in the steps of a model.

use crate::args::{DeviceArgs, StorageArgs};
use crate::bench::driver::{Driver, ImagePrompt};
use crate::bench::limits::Limits;
use crate::bench::ops::groups;
use crate::bench::table::{Cell, Format, Table, number, percent};
use crate::exit::Outcome;
use crate::session::{self, device_line};
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Context, Result};
use clap::Args;
use monolens_engine::{EngineOptions, Prompt, open_backend};
use monolens_graph::OpTime;
use serde_json::json;
use std::path::PathBuf;

/// Options of `monolens bench ops`.
#[derive(Args, Clone, Debug)]
pub struct OpsArgs {
    /// A model folder or .safetensors file (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// Random weights in place of a checkpoint.
    #[command(flatten)]
    pub random: RandomArgs,
    /// How weights, keys and values are stored.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Tokens of the prompt that is read, and after which a token is made
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub pp: u32,
    /// Most tiles of an image that is read too, 0 for none
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub tiles: usize,
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

const COLUMNS: [&str; 11] = [
    "phase",
    "operator",
    "widths",
    "calls",
    "ms",
    "spread",
    "of the phase",
    "GB/s",
    "of stream",
    "GFLOP/s",
    "of product",
];

/// Runs the command.
///
/// # Errors
/// For bad input, a device that is not there or cannot measure, a model that cannot run.
pub fn run(args: &OpsArgs, quiet: bool) -> Result<Outcome> {
    let source = ModelSource::of(&args.random, args.model.as_ref())?;
    let model = source.open()?;
    let (repeat, pp) = (usize::from(args.repeat), args.pp as usize);
    let limits = {
        let mut opened = pollster::block_on(open_backend(&args.device.choice()))?;
        Limits::measure(&mut *opened.backend, repeat)?
    };
    let visual = (args.tiles + 1) * model.config().num_image_token();
    let context = (pp + repeat + 64).max(visual + 256);
    let options =
        EngineOptions { context: Some(context), kv_tokens: Some(context), ..args.storage.options() };
    let engine = session::load(std::sync::Arc::clone(&model), &args.device, options, quiet)?.engine;
    let mut bench =
        Bench { driver: Driver { engine }, limits, repeat, table: Table::new(&COLUMNS, args.format) };
    let device = device_line(bench.driver.engine.device());
    bench.table.facts(bench.limits.facts(&source.name(), &device, repeat));
    if !quiet {
        eprintln!("{} on {device}", source.name());
        eprintln!("limits in this run: {}", bench.limits.text());
    }
    let prompt = bench.driver.text(pp, 3);
    let decode = bench.tokens(prompt.clone())?;
    bench.phase(&format!("a token after {pp}"), &decode)?;
    let read = bench.prompts(&prompt)?;
    bench.phase(&format!("reading {pp}"), &read)?;
    if args.tiles > 0 {
        let ImagePrompt { prompt, tiles, visual } = bench.driver.image(args.tiles, 0, 0)?;
        let read = bench.prompts(&prompt)?;
        bench.phase(&format!("image of {tiles} tiles ({visual} visual of {})", prompt.ids.len()), &read)?;
    }
    bench.table.finish()?;
    Ok(Outcome::Fine)
}

struct Bench {
    driver: Driver,
    limits: Limits,
    repeat: usize,
    table: Table,
}

impl Bench {
    fn measured(&mut self, go_on: bool) -> Result<Vec<OpTime>> {
        let kind = self.driver.engine.device().kind;
        let times = self.driver.engine.profile(go_on);
        times.with_context(|| {
            format!("operators cannot be measured one by one on {kind}: expected cpu or wgpu")
        })
    }

    /// Steps that make a token each.
    fn tokens(&mut self, prompt: Prompt) -> Result<Vec<Vec<OpTime>>> {
        let id = self.driver.submit(prompt, self.repeat + 2)?;
        while self.driver.step()?.tokens == 0 {}
        // The first step after the prompt does not count.
        self.driver.step()?;
        self.measured(true)?;
        let mut runs = Vec::new();
        for _ in 0..self.repeat {
            self.driver.step()?;
            runs.push(self.measured(true)?);
        }
        self.measured(false)?;
        self.driver.engine.discard(id);
        Ok(runs)
    }

    /// A prompt as often as wanted.
    fn prompts(&mut self, prompt: &Prompt) -> Result<Vec<Vec<OpTime>>> {
        let mut runs = Vec::new();
        for run in 0..=self.repeat {
            self.driver.engine.clear_prefix_cache();
            self.measured(run > 0)?;
            self.driver.read(prompt.clone())?;
            let times = self.measured(false)?;
            if run > 0 {
                runs.push(times);
            }
        }
        Ok(runs)
    }

    /// Adds a line for each kind of operator, and one for all.
    fn phase(&mut self, name: &str, runs: &[Vec<OpTime>]) -> Result<()> {
        let groups = groups(runs);
        let all: f64 = groups.iter().map(|group| group.timing.median).sum();
        for group in &groups {
            let seconds = group.timing.median;
            let (bytes, flops) = (group.cost.bytes / seconds, group.cost.flops / seconds);
            let or_nothing = |value: Cell, rate: f64| if rate > 0.0 { value } else { json!(null).into() };
            self.table.row(vec![
                json!(name).into(),
                json!(group.op).into(),
                json!(format!("{} to {}", group.widths[0], group.widths[1])).into(),
                json!(group.count).into(),
                number(seconds * 1e3),
                group.timing.spread_cell(),
                percent(seconds / all),
                number(bytes / 1e9),
                percent(bytes / self.limits.stream),
                or_nothing(number(flops / 1e9), flops),
                or_nothing(percent(flops / self.limits.product), flops),
            ])?;
        }
        let count = groups.iter().map(|group| group.count).sum::<usize>();
        let mut total: Vec<Cell> =
            [json!(name), json!("all"), json!(""), json!(count)].map(Cell::from).into();
        total.push(number(all * 1e3));
        total.resize(COLUMNS.len(), json!(null).into());
        Ok(self.table.row(total)?)
    }
}
