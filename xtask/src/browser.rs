//! `cargo xtask browser-tests`: the page, the library and the engine in a real browser.

use crate::web::{self, ModuleOptions, PageOptions};
use crate::{is_root, root, run};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "chromium";

/// What to test.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    module: ModuleOptions,
    /// Passed on to Playwright: names of spec files, `-g` and a pattern, ..
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    playwright: Vec<String>,
}

/// Builds everything that the specs in `tests/browser` use, and runs them.
///
/// # Errors
/// A browser that is missing, with what to install; the first step that fails.
pub fn run_all(options: &Options) -> Result<()> {
    let chromium = chromium()?;
    println!("Browser: {chromium}");
    web::run_page(&PageOptions::build_only(options.module.clone()))?;
    let harness = root().join("target/browser-harness");
    web::package("monolens-browser-tests", "monolens_browser_tests", &harness, &options.module)?;
    run(Command::new(env!("CARGO")).args(["build", "--package", "monolens-cli"]))?;
    let folder = "tests/browser";
    web::npm(folder, &["ci"])?;
    web::npm(folder, &["run", "lint"])?;
    web::npm(folder, &["run", "typecheck"])?;
    let cli = root().canonicalize()?.join("target/debug/monolens");
    let mut tests = web::npm_command(folder);
    tests.args(["test", "--"]).args(&options.playwright);
    run(tests.env("MONOLENS_CLI", cli).env("MONOLENS_CHROMIUM", chromium))
}

/// The browser: the one that the environment names, else the system's, which root can install.
fn chromium() -> Result<String> {
    if let Some(named) = std::env::var_os("MONOLENS_CHROMIUM") {
        return named.into_string().ok().context("MONOLENS_CHROMIUM is no text");
    }
    let system = "/usr/bin/chromium";
    if !Path::new(system).exists() && is_root() && Path::new("/usr/bin/apt-get").exists() {
        run(Command::new("apt-get").args(["update", "-q"]))?;
        let mut install = Command::new("apt-get");
        install.args(["install", "-y", "-q", "--no-install-recommends", PACKAGE]);
        run(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    if !Path::new(system).exists() {
        bail!("no browser at {system}: install {PACKAGE}, or name one by MONOLENS_CHROMIUM");
    }
    Ok(system.into())
}
