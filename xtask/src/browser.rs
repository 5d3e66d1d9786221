//! `cargo xtask browser-tests`: the page, the library and the engine in a real browser.

use crate::web::{self, ModuleOptions, PageOptions};
use crate::{is_root, root, run};
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "chromium";

/// What to test.
#[derive(Default, clap::Args)]
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
    for script in ["lint", "typecheck", "test", "build:lib"] {
        web::npm("web", &["run", script])?;
    }
    let harness = root().join("target/browser-harness");
    web::package("monolens-browser-tests", "monolens_browser_tests", &harness, &options.module)?;
    // As the native tests build it: another choice of packages would unify other features and compile most of it anew.
    run(Command::new(env!("CARGO")).args(["test", "--workspace", "--no-run", "--quiet"]))?;
    let folder = "tests/browser";
    web::npm(folder, &["ci"])?;
    web::npm(folder, &["run", "lint"])?;
    web::npm(folder, &["run", "typecheck"])?;
    let cli = root().canonicalize()?.join("target/debug/monolens");
    let mut tests = web::npm_command(folder);
    tests.args(["test", "--"]).args(&options.playwright);
    run(tests.env("MONOLENS_CLI", cli).env("MONOLENS_CHROMIUM", chromium))
}

/// Why the browser tests cannot be run here, if they cannot.
///
/// # Errors
/// What is missing, with what to install.
pub fn ensure(options: &Options) -> Result<()> {
    chromium()?;
    let npm = web::npm_command(".").arg("--version").output();
    npm.context("no npm: install Node.js 20 or later")?;
    web::ensure_toolchain(&options.module)
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
