//! The `monolens` command as a library, so that tests can call its parts.
//!
//! One file a command in [`commands`]; [`verify`] holds the comparison with golden data, [`draw`] the pictures,
//! [`look`] what goes into them, [`machine`] what `monolens doctor` finds out. Commands talk to the engine and to
//! nothing below it.

pub mod answer;
pub mod args;
pub mod bench;
pub mod bundled;
pub mod commands;
pub mod draw;
pub mod exit;
pub mod interrupt;
pub mod look;
pub mod machine;
pub mod photos;
pub mod session;
pub mod source;
pub mod verify;

use args::{Cli, Command, Verbosity};
use clap::Parser;
use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    quieten_mesa();
    let cli = Cli::parse();
    log_to_stderr(cli.verbosity, matches!(cli.command, Some(Command::Serve(_))));
    let quiet = cli.verbosity.quiet;
    exit::status(match &cli.command {
        None => commands::run::run(&cli.run, quiet),
        Some(Command::Run(args)) => commands::run::run(args, quiet),
        Some(Command::Chat(args)) => commands::chat::run(args, quiet),
        Some(Command::Serve(args)) => commands::serve::run(args, quiet),
        Some(Command::Inspect(args)) => commands::inspect::run(args),
        Some(Command::Verify(args)) => commands::verify::run(args, quiet),
        Some(Command::Bench(args)) => commands::bench::run(args, quiet),
        Some(Command::Tune(args)) => commands::tune::run(args, quiet),
        Some(Command::Convert(args)) => commands::convert::run(args, quiet),
        Some(Command::Doctor(args)) => commands::doctor::run(args),
    })
}

/// Mesa's device-select layer prints an error on stderr, for each Vulkan instance, where there is no desktop session. It only
/// reorders devices, which this command chooses by itself, so it is switched off there.
fn quieten_mesa() {
    let set = |name: &str| std::env::var_os(name).is_some();
    if cfg!(target_os = "linux") && !set("XDG_RUNTIME_DIR") && !set("NODEVICE_SELECT") {
        // SAFETY: this is the first thing that `main` does, so no other thread reads the environment yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Logs of this workspace to stderr; others' from warnings on. `RUST_LOG` overrides. A server's lines have the time in
/// front.
fn log_to_stderr(verbosity: Verbosity, is_server: bool) {
    let level = match (verbosity.quiet, verbosity.verbose) {
        (true, _) => "error",
        (_, 0) => {
            "error,monolens=warn,monolens_engine=warn,monolens_models=warn,monolens_cli=warn,monolens_server=info"
        }
        (_, 1) => {
            "warn,monolens_engine=info,monolens_models=info,monolens_cli=info,monolens_server=info,monolens_wgpu=info,monolens_cpu=info"
        }
        _ => {
            "info,monolens_engine=debug,monolens_models=debug,monolens_cli=debug,monolens_server=debug,monolens_wgpu=debug,monolens_cpu=debug"
        }
    };
    let env = env_logger::Env::default().default_filter_or(level);
    let time = is_server.then_some(env_logger::TimestampPrecision::Millis);
    env_logger::Builder::from_env(env).format_timestamp(time).init();
}
