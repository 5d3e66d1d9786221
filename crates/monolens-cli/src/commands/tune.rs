//! `monolens tune`: measures the presets of the kernels on a wgpu device and remembers the best.

use crate::args::DeviceArgs;
use crate::bench::table::Format;
use crate::exit::Outcome;
use crate::source::RandomArgs;
use anyhow::Result;
use clap::Args;
use monolens_engine::Quantization;
use std::path::PathBuf;

/// Options of `monolens tune`.
#[derive(Args, Clone, Debug)]
pub struct TuneArgs {
    /// A model folder or .safetensors file, for its sizes (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// A random model's sizes.
    #[command(flatten)]
    pub random: RandomArgs,
    /// Weight formats to tune for: stored, 8bit, 4bit, ..
    #[arg(long, value_name = "FORMAT,FORMAT", value_delimiter = ',', default_value = "stored,8bit,4bit",
        value_parser = wish, help_heading = "Model")]
    pub weights: Vec<Wish>,
    /// Rows of a prompt (default: 512; 64 on a software device)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(9..=4096))]
    pub rows: Option<u16>,
    /// Measurements of each preset, after one that does not count
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub repeat: u16,
    /// How the table is written
    #[arg(long, value_enum, default_value = "md")]
    pub format: Format,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Weights as stored, or rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish(pub Option<Quantization>);

fn wish(name: &str) -> Result<Wish, String> {
    match name {
        "stored" => Ok(Wish(None)),
        other => other.parse().map(|wish| Wish(Some(wish))).map_err(|e: String| format!("stored, or {e}")),
    }
}

/// Runs the command.
///
/// # Errors
/// For a device that is not there or has nothing to tune, or where the result cannot be kept.
#[cfg(feature = "wgpu")]
pub fn run(args: &TuneArgs, quiet: bool) -> Result<Outcome> {
    tuner::run(args, quiet)
}

/// This build has nothing to tune.
///
/// # Errors
/// Always.
#[cfg(not(feature = "wgpu"))]
pub fn run(_: &TuneArgs, _: bool) -> Result<Outcome> {
    anyhow::bail!("only wgpu has presets to tune, and this build is without it")
}

#[cfg(feature = "wgpu")]
mod tuner {
    use super::{TuneArgs, Wish};
    use crate::bench::table::{Cell, Table, number};
    use crate::bench::tune::{self, Measured, Projection};
    use crate::exit::Outcome;
    use crate::session::{NO_DEVICE, device_line};
    use crate::source::ModelSource;
    use anyhow::{Context, Result, bail};
    use indicatif::{ProgressBar, ProgressStyle};
    use monolens_engine::BackendName;
    use monolens_engine::tuning::{self, Class, Tuning};
    use monolens_graph::Backend;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;
    use std::time::Duration;

    const COLUMNS: [&str; 10] = [
        "weights",
        "projection",
        "rows",
        "preset",
        "ms",
        "spread",
        "GB/s",
        "GFLOP/s",
        "times as fast as the default",
        "choice",
    ];

    pub(super) fn run(args: &TuneArgs, quiet: bool) -> Result<Outcome> {
        let choice = args.device.choice();
        if let BackendName::Cpu | BackendName::Cuda = choice.backend {
            bail!("only wgpu has presets to tune: expected --backend wgpu, got {}", choice.backend);
        }
        let source = ModelSource::of(&args.random, args.model.as_ref())?;
        let model = source.open()?;
        let backend = pollster::block_on(tuning::open(&choice)).context(NO_DEVICE)?;
        let mut projections: BTreeMap<Class, Projection> = BTreeMap::new();
        for Wish(wish) in &args.weights {
            for new in tune::projections(&model, *wish, backend.capabilities())? {
                let known = projections.entry(new.class).or_insert(new);
                (known.few, known.many) = (known.few || new.few, known.many || new.many);
            }
        }
        let rows = args.rows.map_or(if backend.device().is_gpu { 512 } else { 64 }, usize::from);
        let repeat = usize::from(args.repeat);
        if !quiet {
            let clock = if backend.has_clock() { "the device's" } else { "the host's" };
            let line = device_line(backend.device());
            eprintln!("sizes of {} on {line}; measured by {clock} clock", source.name());
        }
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(projections.len() as u64) };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} projections, {elapsed} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(500));
        let (mut table, mut found) = (Table::new(&COLUMNS, args.format), Tuning::default());
        // What is loaded for a projection goes with its backend; compiled kernels stay.
        let sibling = backend.sibling();
        for projection in projections.values() {
            bar.set_message(projection.class.to_string());
            // Where no bar can be drawn, on a pipe or in a log.
            if !quiet && bar.is_hidden() {
                eprintln!("{} of {}: {}", bar.position() + 1, projections.len(), projection.class);
            }
            let mut add = |rows: usize, measured: Vec<Measured>| {
                let best = tune::best(&measured);
                found.set(projection.class, measured[best].choice);
                bar.suspend(|| show(&mut table, projection, rows, &measured, best))
            };
            if projection.few {
                add(1, tune::decode(&mut sibling(), projection, repeat)?)?;
            }
            if projection.many {
                add(rows, tune::prefill(&mut sibling(), projection, rows, repeat)?)?;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        table.finish()?;
        let kept = tuning::remember(backend.device(), &found).context("what was found cannot be kept")?;
        if !quiet {
            eprintln!("kept in {}: taken from now on unless --no-tuning says otherwise", kept.display());
        }
        Ok(Outcome::Fine)
    }

    fn show(
        table: &mut Table,
        projection: &Projection,
        rows: usize,
        measured: &[Measured],
        best: usize,
    ) -> Result<()> {
        let Projection { inner, outputs, matrices, .. } = projection;
        let of = if *matrices == 2 { ", gate and up" } else { "" };
        for (at, one) in measured.iter().enumerate() {
            let timing = one.timing();
            let rate = |amount: f64| number(amount / timing.median / 1e9);
            let [gigabytes, gigaflops] = match rows {
                1 => [rate(projection.bytes() as f64), Cell::from(Value::Null)],
                _ => [Cell::from(Value::Null), rate(projection.flops(rows))],
            };
            table.row(vec![
                json!(projection.class.format()).into(),
                json!(format!("{inner} to {}{of}", outputs * matrices)).into(),
                json!(rows).into(),
                json!(format!("{}{}", one.name, if at == 0 { " (default)" } else { "" })).into(),
                number(timing.median * 1e3),
                timing.spread_cell(),
                gigabytes,
                gigaflops,
                number(one.gain_over(&measured[0])),
                json!(if at == best { "chosen" } else { "" }).into(),
            ])?;
        }
        Ok(())
    }
}
