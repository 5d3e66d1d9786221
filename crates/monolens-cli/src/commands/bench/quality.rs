//! `monolens bench quality`: what weights in fewer bits cost, or another backend.

use crate::args::{BackendArg, DeviceArgs};
use crate::bench::quality::{Quality, compare, probe};
use crate::bench::table::{Format, Table, number};
use crate::bundled;
use crate::exit::Outcome;
use crate::photos::{self, Photo};
use crate::session;
use crate::source::{ModelSource, RandomArgs};
use anyhow::{Result, ensure};
use clap::Args;
use monolens_engine::{Chat, EngineOptions, Quantization, TileOptions};
use monolens_models::part_sizes;
use serde_json::json;
use std::io::{self, Write};
use std::path::PathBuf;

/// Options of `monolens bench quality`.
#[derive(Args, Clone, Debug)]
pub struct QualityArgs {
    /// A model folder or .safetensors file (default: the bundled checkpoint)
    pub model: Option<PathBuf>,
    /// Random weights in place of a checkpoint.
    #[command(flatten)]
    pub random: RandomArgs,
    /// Formats to hold against the weights as stored
    #[arg(long, value_name = "FORMAT,FORMAT", value_delimiter = ',', default_value = "8bit,4bit-g32,4bit")]
    pub weights: Vec<Quantization>,
    /// Other backends to hold against this one, in place of other formats
    #[arg(
        long,
        value_name = "BACKEND,BACKEND",
        value_delimiter = ',',
        value_enum,
        conflicts_with = "weights"
    )]
    pub against: Vec<BackendArg>,
    /// Images to ask about (default: the bundled one)
    #[arg(short, long, value_name = "PATH")]
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

const COLUMNS: [&str; 8] = [
    "weights",
    "backend",
    "GB",
    "tokens",
    "top-1 agreement, forced",
    "perplexity",
    "perplexity as stored",
    "divergence, nats a token",
];

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
    let load = |device: &DeviceArgs, weights: Option<Quantization>| {
        let options = EngineOptions { weights, prefix_cache: false, ..EngineOptions::default() };
        session::load(std::sync::Arc::clone(&model), device, options, quiet)
    };
    let mut probes = Vec::new();
    {
        let mut session = load(&args.device, None)?;
        for (seed, photo) in (1..).zip(&photos) {
            let tiles = TileOptions { max_tiles: Some(1), budget: None };
            let (images, _) = photos::tile(&model, std::slice::from_ref(photo), &tiles)?;
            let mut chat = Chat::new();
            chat.ask(&args.question, images);
            let prompt = session.engine.prompt(&chat)?;
            probes.push(probe(&mut session.engine, prompt, usize::from(args.tokens), seed)?);
        }
    }
    let mut table = Table::new(&COLUMNS);
    let formats = || args.weights.iter().map(|&format| (args.device.clone(), Some(format)));
    let backends = || {
        let device = |&backend| DeviceArgs { backend, device: None, tier: None, ..args.device.clone() };
        args.against.iter().map(move |backend| (device(backend), None))
    };
    let compared: Vec<_> = if args.against.is_empty() { formats().collect() } else { backends().collect() };
    for (device, weights) in compared {
        let mut session = load(&device, weights)?;
        let mut all = Quality::default();
        for probe in &probes {
            all = all.and(compare(&mut session.engine, probe)?);
        }
        let bytes: u64 = part_sizes(&model, weights)?.iter().map(|s| s.bytes).sum();
        table.row(vec![
            json!(weights.map_or("as stored".to_owned(), |format| format.to_string())),
            json!(session.engine.device().kind.to_string()),
            number(bytes as f64 / 1e9),
            json!(all.tokens),
            json!(format!("{:.1} %", all.agreement() * 100.0)),
            number(all.perplexity()),
            number(all.reference_perplexity()),
            number(all.mean_divergence()),
        ]);
    }
    io::stdout().lock().write_all(table.show(args.format).as_bytes())?;
    Ok(Outcome::Fine)
}
