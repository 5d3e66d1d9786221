//! `cargo xtask test`.

use crate::{run, vulkan};
use anyhow::Result;
use std::process::Command;

/// What to test.
#[derive(clap::Args)]
pub struct Options {
    /// Fail where no Vulkan device can be had, instead of skipping the GPU tests visibly
    #[arg(long)]
    require_wgpu: bool,
    /// Only tests whose name contains this; skips format and lints
    filter: Option<String>,
}

/// Runs everything.
///
/// # Errors
/// The first step that fails.
pub fn run_all(options: &Options) -> Result<()> {
    match vulkan::ensure() {
        Ok(found) => println!("GPU tests: Vulkan driver {found}"),
        Err(error) if options.require_wgpu => return Err(error),
        Err(error) => println!("GPU tests will be SKIPPED: {error}"),
    }
    if options.filter.is_none() {
        run(&mut cargo(&["fmt", "--all", "--check"]))?;
        run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
        run(cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    }
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    if options.require_wgpu {
        tests.env("MONOLENS_REQUIRE_WGPU", "1");
    }
    run(tests.arg("--").args(&options.filter))
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments);
    command
}
