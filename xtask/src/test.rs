//! `cargo xtask test`.

use crate::{browser, nvrtc, run, vulkan};
use anyhow::Result;
use std::process::Command;

/// What to test.
#[derive(clap::Args)]
pub struct Options {
    /// Fail where no Vulkan device can be had, instead of skipping the GPU tests visibly
    #[arg(long)]
    require_wgpu: bool,
    /// Fail where the CUDA kernels cannot be compiled (NVRTC from a Python wheel) or run on the CPU (a C++ compiler), instead
    /// of skipping those tests visibly. A GPU is not required
    #[arg(long)]
    require_cuda: bool,
    /// Fail where the browser tests cannot be run, instead of skipping them visibly
    #[arg(long)]
    require_browser: bool,
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
    let nvrtc = nvrtc::ensure();
    match &nvrtc {
        Ok(folder) => println!("CUDA kernels: compiled by NVRTC in {}", folder.display()),
        Err(error) if options.require_cuda => anyhow::bail!("CUDA kernels cannot be compiled: {error:#}"),
        Err(error) => println!("CUDA kernels will not be compiled, SKIPPED: {error:#}"),
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
    if let Ok(folder) = nvrtc {
        tests.env("MONOLENS_NVRTC", folder);
    }
    if options.require_cuda {
        tests.env("MONOLENS_REQUIRE_NVRTC", "1").env("MONOLENS_REQUIRE_CUDA_SHIM", "1");
    }
    run(tests.arg("--").args(&options.filter))?;
    if options.filter.is_some() {
        return Ok(());
    }
    let browser = browser::Options::default();
    match browser::ensure(&browser) {
        Ok(()) => browser::run_all(&browser),
        Err(error) if options.require_browser => Err(error.context("browser tests cannot be run")),
        Err(error) => {
            println!("Browser tests are SKIPPED: {error:#}");
            Ok(())
        }
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments);
    command
}
