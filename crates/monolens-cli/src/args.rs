//! The command line, as far as commands share it. Each command's own options stand in its file.

use crate::commands::{bench, chat, convert, doctor, inspect, run, serve, tune, verify};
use clap::{Args, Parser, Subcommand, ValueEnum};
use monolens_engine::selftest::proof::Place;
use monolens_engine::{
    BackendChoice, BackendName, CpuArithmetic, EngineOptions, Quantization, Settings, kv_type,
};
use monolens_graph::DType;
use monolens_models::config::GenerationConfig;

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
    /// Answers requests over HTTP, in OpenAI's format
    Serve(serve::ServeArgs),
    /// Shows a model: parameters, memory, graph, plan, dispatches
    Inspect(inspect::InspectArgs),
    /// Compares every stage with golden data of the reference implementation
    Verify(verify::VerifyArgs),
    /// Measures prompts, answers and time to the first token; `bench ops`, `bench quality`, `bench mmoe`
    Bench(bench::BenchArgs),
    /// Finds the fastest presets of the kernels on this GPU and remembers them
    Tune(tune::TuneArgs),
    /// Writes a checkpoint with weights in 8 or 4 bits
    Convert(convert::ConvertArgs),
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
    /// CUDA on an NVIDIA GPU that passes its self-test, else another GPU, else the CPU
    #[default]
    Auto,
    /// Plain Rust on the CPU
    Cpu,
    /// WGSL on Vulkan, Metal or DirectX 12
    Wgpu,
    /// CUDA on an NVIDIA GPU
    Cuda,
}

/// Where to compute.
#[derive(Args, Clone, Debug, Default)]
pub struct DeviceArgs {
    /// Backend to compute on
    #[arg(long, value_enum, default_value = "auto", help_heading = "Device")]
    pub backend: BackendArg,
    /// GPU to use: a part of its name, or its number in `monolens doctor` (with --backend wgpu or cuda)
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
    /// Pass over what `monolens tune` found for the device (wgpu)
    #[arg(long, help_heading = "Device")]
    pub no_tuning: bool,
}

/// How weights are stored on the device.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct WeightArgs {
    /// Round weights while they are loaded: 8bit or 4bit, in groups of 128 elements (or 4bit-g32, 4bit-g64)
    #[arg(long, value_name = "FORMAT", help_heading = "Model")]
    pub weights: Option<Quantization>,
}

/// How weights, keys and values are stored on the device.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct StorageArgs {
    /// Of weights.
    #[command(flatten)]
    pub weights: WeightArgs,
    /// Keep keys and values in 8bit, bf16 or f32 (default: f32 beside f32 weights or with --exact, else bf16)
    #[arg(long, value_name = "TYPE", help_heading = "Model", value_parser = kv_type)]
    pub kv: Option<DType>,
}

impl StorageArgs {
    /// How weights are to be rounded.
    pub fn weights(self) -> Option<Quantization> {
        self.weights.weights
    }

    /// The engine's options with these formats.
    pub fn options(self) -> EngineOptions {
        EngineOptions { weights: self.weights(), kv_dtype: self.kv, ..EngineOptions::default() }
    }
}

/// How the next token is chosen. What is left out is as in the model's `generation_config.json`, or else greedy.
#[derive(Args, Clone, Debug, Default)]
pub struct SamplingArgs {
    /// 0 takes the likeliest token; higher is more varied
    #[arg(long, allow_negative_numbers = true, value_parser = temperature, help_heading = "Sampling")]
    pub temperature: Option<f32>,
    /// Choose among this many likeliest tokens; 0 is no limit
    #[arg(long, allow_negative_numbers = true, value_name = "K", help_heading = "Sampling")]
    pub top_k: Option<u32>,
    /// Choose among the likeliest tokens that make up this probability
    #[arg(long, allow_negative_numbers = true, value_name = "P", value_parser = probability, help_heading = "Sampling")]
    pub top_p: Option<f32>,
    /// Above 1: make tokens that occurred in the answer less likely
    #[arg(long, allow_negative_numbers = true, value_name = "R", value_parser = penalty, help_heading = "Sampling")]
    pub repetition_penalty: Option<f32>,
    /// Same seed, same answer (default: a new one each time)
    #[arg(long, help_heading = "Sampling")]
    pub seed: Option<u64>,
    /// Longest answer, in tokens
    #[arg(long, allow_negative_numbers = true, value_name = "N", help_heading = "Sampling", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_new_tokens: Option<u32>,
}

impl SamplingArgs {
    /// The engine's settings: these over those of the model's folder.
    pub fn settings(&self, model: &GenerationConfig) -> Settings {
        let mut settings = Settings::from_config(model);
        let samples = self.top_k.is_some() || self.top_p.is_some() || self.seed.is_some();
        if let Some(temperature) = self.temperature {
            settings.temperature = temperature;
        } else if samples && settings.temperature == 0.0 {
            settings.temperature = 1.0;
        }
        if settings.temperature > 0.0 && !model.do_sample {
            settings.top_k = model.top_k;
            settings.top_p = model.top_p;
        }
        if let Some(top_k) = self.top_k {
            settings.top_k = top_k as usize;
        }
        if let Some(top_p) = self.top_p {
            settings.top_p = top_p;
        }
        if let Some(penalty) = self.repetition_penalty {
            settings.repetition_penalty = penalty;
        }
        if let Some(tokens) = self.max_new_tokens {
            settings.max_new_tokens = tokens as usize;
        }
        settings.seed = self.seed;
        settings
    }
}

impl DeviceArgs {
    /// The engine's choice of a backend.
    pub fn choice(&self) -> BackendChoice {
        BackendChoice {
            backend: match self.backend {
                BackendArg::Auto => BackendName::Auto,
                BackendArg::Cpu => BackendName::Cpu,
                BackendArg::Wgpu => BackendName::Wgpu,
                BackendArg::Cuda => BackendName::Cuda,
            },
            device: self.device.clone(),
            tier: self.tier.clone(),
            threads: self.threads.map(usize::from),
            arithmetic: if self.exact { CpuArithmetic::Exact } else { CpuArithmetic::Fast },
            no_tuning: self.no_tuning,
            self_test: self_test(),
            ..BackendChoice::default()
        }
    }
}

/// A device is tried out in a process of its own, this same program: it may crash or hang.
fn self_test() -> Place {
    let Ok(program) = std::env::current_exe() else { return Place::Thread };
    Place::Process(vec![program.into(), "doctor".into(), "--prove".into()])
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
        assert_eq!(cli.run.sampling.top_k, Some(3));
    }

    #[test]
    fn a_type_of_keys_and_values_is_one_that_there_is() {
        let parse = |kv: &str| Cli::try_parse_from(["monolens", "run", "--kv", kv]);
        let Some(Command::Run(args)) = parse("8bit").unwrap().command else { panic!("run") };
        assert_eq!(args.storage.options().kv_dtype, Some(DType::I8));
        let error = parse("4bit").unwrap_err().to_string();
        assert!(
            error.contains("--kv") && error.contains("expected 8bit, bf16 or f32, got `4bit`"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_said_is_the_models() {
        let model = GenerationConfig { repetition_penalty: 1.2, ..GenerationConfig::default() };
        let greedy = SamplingArgs::default().settings(&model);
        assert_eq!((greedy.temperature, greedy.repetition_penalty), (0.0, 1.2));
        let warm = SamplingArgs { temperature: Some(0.7), ..SamplingArgs::default() }.settings(&model);
        assert_eq!((warm.temperature, warm.top_k), (0.7, 50), "the library's defaults");
        let seeded = SamplingArgs { seed: Some(3), top_k: Some(2), ..SamplingArgs::default() };
        assert_eq!(seeded.settings(&model).temperature, 1.0);
    }

    #[test]
    fn sampling_numbers_are_checked() {
        for bad in [["--top-p", "0"], ["--temperature", "-1"], ["--repetition-penalty", "nan"]] {
            let refused = Cli::try_parse_from(["monolens", "run", bad[0], bad[1]]).unwrap_err().to_string();
            assert!(refused.contains(": expected a number"), "{refused}");
        }
    }
}
