//! `monolens bench`: how fast, beside what the device can do; and what smaller weights cost.

mod mmoe;
mod ops;
mod quality;
mod speed;

use crate::exit::Outcome;
use anyhow::Result;
use clap::{Args, Subcommand};
use monolens_engine::Quantization;
use monolens_models::Model;

/// Options of `monolens bench`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    /// What to measure instead of prompts and answers
    #[command(subcommand)]
    pub what: Option<What>,
    /// Prompts and answers.
    #[command(flatten)]
    pub speed: speed::SpeedArgs,
}

/// What can be measured beside speed.
#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// The time of each operator in a decoded token, in reading a prompt and an image
    Ops(ops::OpsArgs),
    /// What weights in 8 or 4 bits, or keys and values in 8, cost: agreement with the weights as stored, perplexity
    Quality(quality::QualityArgs),
    /// The routed feed-forward network against computing both experts and against gathering rows
    Mmoe(mmoe::MmoeArgs),
}

/// How weights lie on the device, in words: as wished, or as stored and what that is.
fn weights_text(model: &Model, wish: Option<Quantization>) -> String {
    if let Some(wish) = wish {
        return wish.to_string();
    }
    if let Some(stored) = &model.config().quantization {
        return format!("as stored: {stored}");
    }
    let tensors = model.tensors();
    let infos = tensors.names().into_iter().filter_map(|name| tensors.info(name));
    infos
        .max_by_key(|info| info.elements())
        .map_or("as stored".into(), |info| format!("as stored: {}", info.dtype.name().to_lowercase()))
}

/// Runs the command.
///
/// # Errors
/// For bad input, a device that is not there, a model that cannot run.
pub fn run(args: &BenchArgs, quiet: bool) -> Result<Outcome> {
    match &args.what {
        None => speed::run(&args.speed, quiet),
        Some(What::Ops(args)) => ops::run(args, quiet),
        Some(What::Quality(args)) => quality::run(args, quiet),
        Some(What::Mmoe(args)) => mmoe::run(args, quiet),
    }
}
