//! The command line, as far as commands share it. Each command's own options stand in its file.

use crate::commands::{chat, doctor, inspect, run, verify};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::fmt;

/// Runs Mono-InternVL: asks a vision-language model about images, on the GPU where there is one.
///
/// Without a command it is `monolens run`; without any argument it answers the bundled question about the bundled
/// image with the bundled checkpoint.
#[derive(Debug, Parser)]
#[command(name = "monolens", version, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `run`.
    #[command(flatten)]
    pub run: run::RunArgs,
    /// How much to tell on stderr: -v for progress, -vv for details, -q for errors only.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answers one question about images and streams the answer
    Run(run::RunArgs),
    /// Holds a conversation; images can join at any turn
    Chat(chat::ChatArgs),
    /// Shows a model: parameters, memory, graph, plan, dispatches
    Inspect(inspect::InspectArgs),
    /// Compares every stage with golden data of the reference implementation
    Verify(verify::VerifyArgs),
    /// Shows devices and drivers, what will be used and why, and what is missing
    Doctor(doctor::DoctorArgs),
}

/// How much is logged.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Verbosity {
    /// More on stderr (twice: everything)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// Errors and answers only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// The kind of backend that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// A real GPU if there is one, else the CPU
    #[default]
    Auto,
    /// Plain Rust on the CPU
    Cpu,
    /// WGSL on Vulkan, Metal or DirectX 12
    Wgpu,
}

impl fmt::Display for BackendArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Wgpu => "wgpu",
        })
    }
}

/// Where to compute.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceArgs {
    /// Backend to compute on
    #[arg(long, value_enum, default_value_t, help_heading = "Device")]
    pub backend: BackendArg,
    /// GPU to use: a part of its name, or its number in `monolens doctor`
    #[arg(long, value_name = "NAME|INDEX", help_heading = "Device")]
    pub device: Option<String>,
    /// Highest capability tier to use, see `monolens doctor`
    #[arg(long, help_heading = "Device")]
    pub tier: Option<String>,
    /// CPU threads (default: one a core)
    #[arg(long, value_name = "N", help_heading = "Device", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Activations and arithmetic in f32 whatever the weights are stored in: slower, closer to the reference
    #[arg(long, help_heading = "Device")]
    pub exact: bool,
}

/// How the next token is chosen.
#[derive(Args, Clone, Debug, Default)]
pub struct SamplingArgs {
    /// 0 takes the likeliest token; higher is more varied
    #[arg(long, default_value_t = 0.0, value_parser = temperature, help_heading = "Sampling")]
    pub temperature: f32,
    /// Choose among this many likeliest tokens; 0 is no limit
    #[arg(long, value_name = "K", default_value_t = 50, help_heading = "Sampling")]
    pub top_k: u32,
    /// Choose among the likeliest tokens that make up this probability
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = probability, help_heading = "Sampling")]
    pub top_p: f32,
    /// Above 1: make tokens that occurred less likely
    #[arg(long, value_name = "R", default_value_t = 1.0, value_parser = penalty, help_heading = "Sampling")]
    pub repetition_penalty: f32,
    /// Same seed, same answer (default: a new one each time)
    #[arg(long, help_heading = "Sampling")]
    pub seed: Option<u64>,
    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 1024, help_heading = "Sampling",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: u32,
}

fn number(text: &str, fits: impl Fn(f32) -> bool, expected: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| format!("expected {expected}"))?;
    if fits(value) { Ok(value) } else { Err(format!("expected {expected}")) }
}

fn temperature(text: &str) -> Result<f32, String> {
    number(text, |v| (0.0..=100.0).contains(&v), "a number from 0 to 100")
}

fn probability(text: &str) -> Result<f32, String> {
    number(text, |v| v > 0.0 && v <= 1.0, "a number above 0 and at most 1")
}

fn penalty(text: &str) -> Result<f32, String> {
    number(text, |v| (0.01..=100.0).contains(&v), "a number from 0.01 to 100")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_is_run() {
        let cli = Cli::try_parse_from(["monolens", "photo.jpg", "-p", "what?", "--top-k", "3"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.run.question.as_deref(), Some("what?"));
        assert_eq!(cli.run.sampling.top_k, 3);
    }

    #[test]
    fn sampling_numbers_are_checked() {
        for bad in [["--top-p", "0"], ["--temperature", "-1"], ["--repetition-penalty", "nan"]] {
            assert!(Cli::try_parse_from(["monolens", "run", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
    }
}
