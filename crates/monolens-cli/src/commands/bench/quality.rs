//! `monolens bench quality`: what weights, keys and values in fewer bits cost, or another backend.

use super::weights_text;
use crate::args::{BackendArg, DeviceArgs};
use crate::bench::quality::{Quality, compare, probe};
use crate::bench::table::{Cell, Format, Table, number};
use crate::bundled;
use crate::exit::Outcome;
use crate::photos::{self, Photo};
use crate::session;
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Result, ensure};
use clap::Args;
use monolens_engine::{Chat, EngineOptions, Quantization, TileOptions, kv_type, kv_type_name};
use monolens_graph::{Bits, DType};
use monolens_models::part_sizes;
use serde_json::json;
use std::path::PathBuf;

/// Options of `monolens bench quality`.
#[derive(Args, Clone, Debug)]
pub struct QualityArgs {
    /// A model folder or .safetensors file (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// Random weights in place of a checkpoint.
    #[command(flatten)]
    pub random: RandomArgs,
    /// Formats to hold against the weights as stored (default: 8bit,4bit-g32,4bit; with --kv as stored)
    #[arg(long, value_name = "FORMAT,FORMAT", value_delimiter = ',')]
    pub weights: Vec<Quantization>,
    /// Types of keys and values (8bit, bf16, f32) to hold against the default, with each of the --weights
    #[arg(long, value_name = "TYPE,TYPE", value_delimiter = ',', value_parser = kv_type)]
    pub kv: Vec<DType>,
    /// Other backends to hold against this one, in place of other formats
    #[arg(
        long,
        value_name = "BACKEND,BACKEND",
        value_delimiter = ',',
        value_enum,
        conflicts_with_all = ["weights", "kv"]
    )]
    pub against: Vec<BackendArg>,
    /// Images to ask about (default: the bundled one)
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    pub image: Vec<PathBuf>,
    /// The question
    #[arg(short = 'p', long = "prompt", value_name = "QUESTION", default_value = bundled::GENERAL_QUESTION)]
    pub question: String,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub tokens: u16,
    /// How the table is written
    #[arg(long, value_enum, default_value = "md")]
    pub format: Format,
    /// Where to compute.
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// Formats of weights that are taken unless others are named: 8bit, 4bit-g32, 4bit.
const DEFAULT_FORMATS: [Quantization; 3] = [
    Quantization { bits: Bits::Eight, group: 128 },
    Quantization { bits: Bits::Four, group: 32 },
    Quantization { bits: Bits::Four, group: 128 },
];

const COLUMNS: [&str; 9] = [
    "weights",
    "kv",
    "backend",
    "GB",
    "tokens",
    "top-1 agreement, forced",
    "perplexity",
    "perplexity as stored",
    "divergence, nats a token",
];

/// What is held to the reference.
struct Other {
    device: DeviceArgs,
    weights: Option<Quantization>,
    kv: Option<DType>,
}

impl QualityArgs {
    /// Everything that is asked for: backends, or types of keys and values with each format, or formats.
    fn others(&self) -> Vec<Other> {
        if !self.against.is_empty() {
            // A device's name says nothing of the CPU; a software one must be named for wgpu to take it.
            let device = |&backend: &BackendArg| DeviceArgs {
                backend,
                device: self.device.device.clone().filter(|_| backend == BackendArg::Wgpu),
                tier: None,
                ..self.device.clone()
            };
            let other = |backend| Other { device: device(backend), weights: None, kv: None };
            return self.against.iter().map(other).collect();
        }
        let given = |formats: &[Quantization]| -> Vec<_> { formats.iter().copied().map(Some).collect() };
        let formats: Vec<_> = match (self.weights.is_empty(), self.kv.is_empty()) {
            (false, _) => given(&self.weights),
            (true, true) => given(&DEFAULT_FORMATS),
            (true, false) => vec![None],
        };
        let types: Vec<_> = match self.kv.is_empty() {
            true => vec![None],
            false => self.kv.iter().copied().map(Some).collect(),
        };
        let other = |weights, kv| Other { device: self.device.clone(), weights, kv };
        formats.iter().flat_map(|&weights| types.iter().map(move |&kv| other(weights, kv))).collect()
    }
}

/// Runs the command.
///
/// # Errors
/// For bad input, a device that is not there, a model that cannot run.
pub fn run(args: &QualityArgs, quiet: bool) -> Result<Outcome> {
    let source = ModelSource::of(&args.random, args.model.as_ref())?;
    let model = source.open()?;
    let photos = match args.image.is_empty() {
        false => args.image.iter().map(|path| Photo::read(path)).collect::<Result<Vec<_>>>()?,
        true => {
            let example = bundled::example()?;
            vec![Photo::decode(example.name, example.bytes)?]
        }
    };
    ensure!(!args.question.trim().is_empty(), "the question (-p) is empty: expected some text, got none");
    let load = |device: &DeviceArgs, weights: Option<Quantization>, kv_dtype: Option<DType>| {
        let options = EngineOptions { weights, kv_dtype, prefix_cache: false, ..EngineOptions::default() };
        session::load(std::sync::Arc::clone(&model), device, options, quiet)
    };
    let mut probes = Vec::new();
    {
        let mut session = load(&args.device, None, None)?;
        for (seed, photo) in (1..).zip(&photos) {
            let tiles = TileOptions { max_tiles: Some(1), budget: None };
            let (images, _) = photos::tile(&model, std::slice::from_ref(photo), &tiles)?;
            let mut chat = Chat::new();
            chat.ask(&args.question, images);
            let prompt = session.engine.prompt(&chat)?;
            probes.push(probe(&mut session.engine, prompt, usize::from(args.tokens), seed)?);
        }
    }
    let mut table = Table::new(&COLUMNS, args.format);
    table.facts([("model", json!(source.name()))]);
    for Other { device, weights, kv } in args.others() {
        let mut session = load(&device, weights, kv)?;
        let mut all = Quality::default();
        for probe in &probes {
            all = all.and(compare(&mut session.engine, probe)?);
        }
        let bytes: u64 = part_sizes(&model, weights)?.iter().map(|s| s.bytes).sum();
        table.row(vec![
            json!(weights_text(&model, weights)).into(),
            json!(kv.map_or("default".to_owned(), kv_type_name)).into(),
            json!(session.engine.device().kind.to_string()).into(),
            number(bytes as f64 / 1e9),
            json!(all.tokens).into(),
            Cell::new(format!("{:.1} %", all.agreement() * 100.0), json!(all.agreement())),
            number(all.perplexity()),
            number(all.reference_perplexity()),
            number(all.mean_divergence()),
        ])?;
    }
    table.finish()?;
    Ok(Outcome::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::commands::bench::What;
    use clap::Parser;

    fn others(args: &[&str]) -> Vec<(String, String)> {
        let all = ["monolens", "bench", "quality"].iter().chain(args);
        let Some(Command::Bench(bench)) = Cli::try_parse_from(all).unwrap().command else { panic!("bench") };
        let Some(What::Quality(args)) = bench.what else { panic!("quality") };
        let text = |other: Other| {
            let weights = other.weights.map_or("stored".into(), |format| format.to_string());
            (weights, other.kv.map_or("default".into(), kv_type_name))
        };
        args.others().into_iter().map(text).collect()
    }

    #[test]
    fn types_of_keys_and_values_meet_every_format() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|&(a, b)| (a.to_owned(), b.to_owned())).collect()
        };
        assert_eq!(others(&[]), pairs(&[("8bit", "default"), ("4bit-g32", "default"), ("4bit", "default")]));
        assert_eq!(others(&["--kv", "8bit,f32"]), pairs(&[("stored", "8bit"), ("stored", "f32")]));
        assert_eq!(
            others(&["--kv", "8bit,bf16", "--weights", "4bit"]),
            pairs(&[("4bit", "8bit"), ("4bit", "bf16")])
        );
        assert_eq!(others(&["--against", "cpu"]), pairs(&[("stored", "default")]));
    }
}
