//! `monolens convert`: a checkpoint with weights in 8 or 4 bits.

use crate::exit::Outcome;
use crate::interrupt;
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use monolens_engine::Quantization;
use monolens_models::quant::{Converted, RoundingError, convert};
use monolens_models::{Model, Part, part_sizes};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Options of `monolens convert`.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// A model folder or .safetensors file (default: the bundled checkpoint), then the folder to write
    #[arg(value_name = "[MODEL] OUT", num_args = 1..=2, required = true)]
    pub paths: Vec<PathBuf>,
    /// Random weights in place of a checkpoint.
    #[command(flatten)]
    pub random: RandomArgs,
    /// Bits and group of the decoder's weights: 8bit, 4bit, 4bit-g32 ..; the rest is in 8 bits or stays as it is
    #[arg(long, value_name = "FORMAT", default_value = "4bit")]
    pub weights: Quantization,
    /// Replace a checkpoint that is there already
    #[arg(long)]
    pub force: bool,
    /// Largest file, in GB; a larger checkpoint is written as several
    #[arg(long, value_name = "GB", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub shard_size: u16,
    /// The error of every tensor, not only by part
    #[arg(long)]
    pub all: bool,
    /// One JSON object with the error of every tensor
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// When the model cannot be read, the folder exists or cannot be written, or weights are in groups already.
pub fn run(args: &ConvertArgs, quiet: bool) -> Result<Outcome> {
    interrupt::listen()?;
    let (model, out) = match &args.paths[..] {
        [model, out] => (Some(model), out),
        [out] => (None, out),
        _ => bail!("expected a folder to write"),
    };
    let source = ModelSource::of(&args.random, model)?;
    check_target(out, args.force)?;
    let model = source.open()?;
    let companions = source.companions()?;
    let partial = beside(out, "partial");
    fs::create_dir_all(&partial).with_context(|| format!("cannot write {}", partial.display()))?;
    let written = write(&model, args, companions, &partial, quiet || args.json);
    // What is unfinished is of no use to anybody.
    let converted = written.inspect_err(|_| drop(fs::remove_dir_all(&partial)))?;
    put_in_place(&partial, out)?;
    let stored: u64 = part_sizes(&model, None)?.iter().map(|s| s.bytes).sum();
    let mut to = io::stdout().lock();
    if args.json {
        writeln!(to, "{}", to_json(&converted, stored))?;
        return Ok(Outcome::Fine);
    }
    writeln!(to, "{}", by_part(&converted))?;
    if args.all {
        writeln!(to, "{}", by_tensor(&converted))?;
    }
    let (before, after) = (stored as f64 / 1e9, converted.bytes as f64 / 1e9);
    writeln!(to, "{}: {after:.3} GB of weights ({before:.3} GB before), {}", out.display(), args.weights)?;
    Ok(Outcome::Fine)
}

/// A name beside a folder, for what is not finished or not needed any more.
fn beside(folder: &Path, what: &str) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{what}-{}", std::process::id()))
}

/// Refuses to overwrite, and to replace with --force what is no checkpoint.
fn check_target(out: &Path, force: bool) -> Result<()> {
    ensure!(out.file_name().is_some(), "{}: expected the name of a folder to write", out.display());
    if !out.exists() {
        return Ok(());
    }
    ensure!(out.is_dir(), "{}: expected a folder or nothing there, got a file", out.display());
    if fs::read_dir(out).with_context(|| format!("cannot read {}", out.display()))?.next().is_none() {
        return Ok(());
    }
    ensure!(force, "{}: the folder is there and not empty; --force replaces a checkpoint", out.display());
    ensure!(
        out.join("config.json").is_file(),
        "{}: expected a checkpoint to replace (with config.json), got another folder",
        out.display()
    );
    Ok(())
}

/// Moves the finished folder to its place; an old one goes away after that.
fn put_in_place(partial: &Path, out: &Path) -> Result<()> {
    let rename = |from: &Path, to: &Path| {
        fs::rename(from, to).with_context(|| format!("cannot move {} to {}", from.display(), to.display()))
    };
    let old = beside(out, "old");
    let replaces = out.exists();
    if replaces {
        rename(out, &old)?;
    }
    if let Err(error) = rename(partial, out) {
        if replaces {
            rename(&old, out)?;
        }
        return Err(error);
    }
    if replaces {
        fs::remove_dir_all(&old).with_context(|| format!("cannot remove {}", old.display()))?;
    }
    Ok(())
}

/// Writes everything into a folder and opens it once to see that it is whole.
fn write(
    model: &Model,
    args: &ConvertArgs,
    companions: Vec<(String, Vec<u8>)>,
    folder: &Path,
    quiet: bool,
) -> Result<Converted> {
    let total = part_sizes(model, Some(args.weights))?.iter().map(|s| s.bytes).sum();
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(total) };
    bar.set_style(
        ProgressStyle::with_template("converting {bar:30} {bytes}/{total_bytes} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let mut progress = |bytes: u64, name: &str| {
        bar.inc(bytes);
        bar.set_message(name.to_owned());
        if interrupt::happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let converted =
        convert(model, args.weights, folder, u64::from(args.shard_size) * 1_000_000_000, &mut progress);
    bar.finish_and_clear();
    let converted = converted?;
    for (name, bytes) in companions {
        let bytes = if name == "config.json" { config(&bytes, &converted.config)? } else { bytes };
        let path = folder.join(&name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Model::open(folder).context("the checkpoint that was written does not open")?;
    Ok(converted)
}

/// `config.json` with what it says about the weights.
fn config(json: &[u8], quantization: &Value) -> Result<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(json).context("config.json")?;
    config["quantization_config"] = quantization.clone();
    Ok(serde_json::to_vec_pretty(&config)?)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(header.to_vec());
    table
}

fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn error_cells(error: &RoundingError) -> [Cell; 2] {
    let nmse = error.nmse();
    [right(format!("{nmse:.2e}")), right(format!("{:.1} dB", -10.0 * nmse.max(1e-30).log10()))]
}

/// The error of each part, and its worst tensor.
fn by_part(converted: &Converted) -> Table {
    let mut parts: BTreeMap<Part, Vec<&(String, _, RoundingError)>> = BTreeMap::new();
    for one in &converted.errors {
        parts.entry(Part::of(&one.0)).or_default().push(one);
    }
    let mut t = table(&["part", "tensors", "format", "NMSE", "signal to noise", "worst tensor", "its NMSE"]);
    for (part, list) in parts {
        let all = list.iter().fold(RoundingError::default(), |all, one| all.and(one.2));
        let Some(worst) = list.iter().max_by(|a, b| a.2.nmse().total_cmp(&b.2.nmse())) else { continue };
        let [nmse, ratio] = error_cells(&all);
        t.add_row([
            Cell::new(part.name()),
            right(list.len().to_string()),
            Cell::new(worst.1),
            nmse,
            ratio,
            Cell::new(&worst.0),
            right(format!("{:.2e}", worst.2.nmse())),
        ]);
    }
    t
}

fn by_tensor(converted: &Converted) -> Table {
    let mut t = table(&["tensor", "format", "NMSE", "signal to noise", "largest error"]);
    for (name, format, error) in &converted.errors {
        let [nmse, ratio] = error_cells(error);
        t.add_row([Cell::new(name), Cell::new(format), nmse, ratio, right(format!("{:.2e}", error.largest))]);
    }
    t
}

fn to_json(converted: &Converted, stored: u64) -> Value {
    let tensors: Vec<Value> = converted
        .errors
        .iter()
        .map(|(name, format, error)| {
            json!({
                "tensor": name,
                "bits": format.bits.count(),
                "group": format.group,
                "nmse": error.nmse(),
                "largest_error": error.largest,
            })
        })
        .collect();
    json!({
        "files": converted.files,
        "bytes": converted.bytes,
        "bytes_before": stored,
        "tensors": tensors,
    })
}
