//! `monolens bench`: prompts (pp), answers (tg) and the time to the first token of an image (ttft).

use super::weights_text;
use crate::args::{DeviceArgs, StorageArgs};
use crate::bench::driver::{Driver, ImagePrompt};
use crate::bench::limits::Limits;
use crate::bench::table::{Cell, Format, Table, number, percent};
use crate::bench::timing::Timing;
use crate::bench::work::Work;
use crate::exit::Outcome;
use crate::session::{self, device_line};
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Result, bail, ensure};
use clap::Args;
use monolens_engine::{EngineOptions, Prompt, RequestId, kv_type_name, open_backend};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Options of `monolens bench` without a command.
#[derive(Args, Clone, Debug)]
pub struct SpeedArgs {
    /// A model folder or .safetensors file (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// Random weights in place of a checkpoint.
    #[command(flatten)]
    pub random: RandomArgs,
    /// How weights, keys and values are stored.
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Tokens of prompts to read
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "512")]
    pub pp: Vec<usize>,
    /// Tokens of answers to make
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "64")]
    pub tg: Vec<usize>,
    /// Tokens that are there before them
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "0")]
    pub depth: Vec<usize>,
    /// Answers made at once, and images asked about at once
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "1", value_parser = at_least_one)]
    pub batch: Vec<usize>,
    /// Tiles of the image, its thumbnail among them, and tokens of the text for the time to the first token, e.g. 7:64
    #[arg(long, value_name = "TILES:TEXT", value_delimiter = ',', value_parser = pair)]
    pub ttft: Vec<(usize, usize)>,
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

/// No model takes more: 256 and a thumbnail.
const MOST_TILES: usize = 257;

fn pair(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once(':').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.filter(|&(tiles, _)| (1..=MOST_TILES).contains(&tiles)).ok_or_else(|| {
        format!("expected TILES:TEXT, two whole numbers, 6:64 say, of at most {MOST_TILES} tiles")
    })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&n| n > 0).ok_or_else(|| "expected a whole number from 1 on".into())
}

const COLUMNS: [&str; 11] = [
    "test",
    "backend",
    "tier",
    "weights",
    "t/s",
    "s",
    "spread",
    "GB/s",
    "of stream",
    "GFLOP/s",
    "of product",
];

/// Everything that a measurement needs.
struct Bench {
    driver: Driver,
    work: Work,
    limits: Limits,
    repeat: usize,
    weights: String,
    table: Table,
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// For bad input, a device that is not there, a model that cannot run.
pub fn run(args: &SpeedArgs, quiet: bool) -> Result<Outcome> {
    let source = ModelSource::of(&args.random, args.model.as_ref())?;
    let model = source.open()?;
    let some = |counts: &[usize]| counts.iter().any(|&n| n > 0);
    ensure!(
        some(&args.pp) || some(&args.tg) || !args.ttft.is_empty(),
        "nothing to measure: expected --pp or --tg above 0, or --ttft"
    );
    let repeat = usize::from(args.repeat);
    let limits = {
        let mut opened = pollster::block_on(open_backend(&args.device.choice()))?;
        Limits::measure(&mut *opened.backend, repeat)?
    };
    let longest = |counts: &[usize]| counts.iter().copied().max().unwrap_or(0);
    let visual = model.config().num_image_token();
    let image_tokens =
        args.ttft.iter().map(|&(tiles, text)| (tiles + 1) * visual + text + 128).max().unwrap_or(0);
    let context = (longest(&args.depth) + longest(&args.pp).max(longest(&args.tg)) + 64).max(image_tokens);
    let batch = longest(&args.batch).max(1);
    let options = EngineOptions {
        context: Some(context),
        kv_tokens: Some(context * batch),
        sequences: batch,
        ..args.storage.options()
    };
    let session = session::load(std::sync::Arc::clone(&model), &args.device, options, quiet)?;
    let opened = pollster::block_on(open_backend(&args.device.choice()))?;
    let kv_bytes = session.engine.memory().kv_bytes_per_token;
    let work = Work::of(&model, args.storage.weights(), opened.backend.capabilities(), kv_bytes)?;
    drop(opened);
    let weights = weights_text(&model, args.storage.weights());
    let weights = args.storage.kv.map_or(weights.clone(), |kv| format!("{weights}, kv {}", kv_type_name(kv)));
    let mut bench = Bench {
        driver: Driver { engine: session.engine },
        work,
        limits,
        repeat,
        weights,
        table: Table::new(&COLUMNS, args.format),
        quiet,
    };
    let device = device_line(bench.driver.engine.device());
    bench.table.facts(bench.limits.facts(&source.name(), &device, repeat));
    if !quiet {
        let (memory, limits) = (bench.driver.engine.memory().device, &bench.limits);
        eprintln!("{} on {device}", source.name());
        eprintln!(
            "limits in this run: {}; on the device: weights {:.3} GB, states {:.3} GB, activations {:.3} GB; \
             loaded in {:.1} s",
            limits.text(),
            memory.weights as f64 / 1e9,
            memory.states as f64 / 1e9,
            memory.activations as f64 / 1e9,
            session.load_seconds,
        );
    }
    for &depth in &args.depth {
        for &rows in &args.pp {
            bench.prompt(rows, depth)?;
        }
        for &batch in &args.batch {
            for &tokens in &args.tg {
                bench.answer(tokens, depth, batch)?;
            }
        }
    }
    for &(tiles, text) in &args.ttft {
        for &batch in &args.batch {
            bench.first_token(tiles, text, batch)?;
        }
    }
    bench.table.finish()?;
    Ok(Outcome::Fine)
}

impl Bench {
    /// Lets all requests come to their ends; gives the seconds of the steps in which every one of them made a token.
    fn finish(&mut self, ids: &[RequestId]) -> Result<(f64, usize)> {
        let (mut seconds, mut tokens) = (0.0, 0);
        while self.driver.engine.is_busy() {
            let step = self.driver.step()?;
            if step.tokens == ids.len() && !step.reads {
                (seconds, tokens) = (seconds + step.seconds, tokens + step.tokens);
            }
        }
        Ok((seconds, tokens))
    }

    fn prompt(&mut self, rows: usize, depth: usize) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let before = self.driver.ids(depth, 1);
        let mut seed = 2;
        let driver = &mut self.driver;
        let timing = Timing::measure(self.repeat, || {
            driver.engine.clear_prefix_cache();
            if depth > 0 {
                driver.read(Prompt { ids: before.clone(), images: Vec::new() })?;
            }
            seed += 1;
            let ids = [&before[..], &driver.ids(rows, seed)[..]].concat();
            driver.read(Prompt { ids, images: Vec::new() })
        })?;
        let flops = self.work.prompt_flops(rows, depth);
        self.row(&format!("pp {rows}{}", at(depth)), Some(rows as f64), &timing, None, Some(flops))
    }

    fn answer(&mut self, tokens: usize, depth: usize, batch: usize) -> Result<()> {
        if tokens == 0 {
            return Ok(());
        }
        let prompt = self.driver.text(depth.max(1), 1);
        let timing: Timing = Timing::measure(self.repeat, || {
            let ids = (0..batch)
                .map(|_| self.driver.submit(prompt.clone(), tokens + 1))
                .collect::<Result<Vec<_>, _>>()?;
            let (seconds, made) = self.finish(&ids)?;
            if made == 0 {
                bail!("no step in which all {batch} answers went on; fewer at once, or more tokens");
            }
            Ok(seconds / (made / batch) as f64)
        })?;
        let depth_seen = depth + tokens / 2;
        let (bytes, flops) =
            (self.work.token_bytes(batch, depth_seen), self.work.token_flops(batch, depth_seen));
        let batched = if batch > 1 { format!(" x {batch}") } else { String::new() };
        self.row(
            &format!("tg {tokens}{batched}{}", at(depth)),
            Some(batch as f64),
            &timing,
            Some(bytes),
            Some(flops),
        )
    }

    /// Of several at once the mean time; what is read in a second is then no rate of the device.
    fn first_token(&mut self, tiles: usize, text: usize, batch: usize) -> Result<()> {
        let driver = &mut self.driver;
        let images = (0..batch.max(1)).map(|n| driver.image(tiles, text, u8::try_from(n).unwrap_or(u8::MAX)));
        let images = images.collect::<Result<Vec<ImagePrompt>>>()?;
        let prompts: Vec<Prompt> = images.iter().map(|image| image.prompt.clone()).collect();
        let timing = Timing::measure(self.repeat, || {
            driver.engine.clear_prefix_cache();
            driver.read_together(prompts.clone())
        })?;
        if images[0].tiles != tiles && !self.quiet {
            eprintln!("--ttft {tiles}:{text}: this model makes {} tiles of such a picture", images[0].tiles);
        }
        let (tiles, visual, rows) = (images[0].tiles, images[0].visual, prompts[0].ids.len());
        let batched = if batch > 1 { format!(" x {batch}") } else { String::new() };
        let name = format!("ttft{batched}, {tiles} tiles ({visual} visual of {rows} tokens)");
        let flops = self.work.prompt_flops(rows, 0) + tiles as f64 * self.work.flops_a_tile;
        let flops = (batch <= 1).then_some(flops);
        self.row(&name, (batch <= 1).then_some(rows as f64), &timing, None, flops)
    }

    fn row(
        &mut self,
        name: &str,
        tokens: Option<f64>,
        timing: &Timing,
        bytes: Option<f64>,
        flops: Option<f64>,
    ) -> Result<()> {
        let device = self.driver.engine.device();
        let seconds = timing.median;
        let nothing = || Cell::from(Value::Null);
        let rate = |amount: Option<f64>| amount.map_or_else(nothing, |a| number(a / seconds / 1e9));
        let share =
            |amount: Option<f64>, limit: f64| amount.map_or_else(nothing, |a| percent(a / seconds / limit));
        let row = vec![
            json!(name).into(),
            json!(device.kind.to_string()).into(),
            json!(device.tier).into(),
            json!(self.weights).into(),
            tokens.map_or_else(nothing, |tokens| number(tokens / seconds)),
            number(seconds),
            timing.spread_cell(),
            rate(bytes),
            share(bytes, self.limits.stream),
            rate(flops),
            share(flops, self.limits.product),
        ];
        Ok(self.table.row(row)?)
    }
}

fn at(depth: usize) -> String {
    if depth == 0 { String::new() } else { format!(" @ {depth}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_and_text_are_two_numbers() {
        assert_eq!(pair("6:64"), Ok((6, 64)));
        for bad in ["6", "a:1", "0:5", "1:2:3", "20000:16"] {
            assert!(pair(bad).is_err(), "{bad}");
        }
    }
}
