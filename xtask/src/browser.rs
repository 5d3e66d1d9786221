//! `cargo xtask browser-tests`: the page, the library and the engine in a real browser.

use crate::web::{self, ModuleOptions, PageOptions};
use crate::{apt, root, run};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "chromium";
/// What the tests in other browsers start, and the packages that it is in.
const OTHERS: [(&str, &str); 3] = [
    ("/usr/bin/firefox-esr", "firefox-esr"),
    ("/usr/bin/WebKitWebDriver", "webkit2gtk-driver"),
    ("/usr/bin/Xvfb", "xvfb"),
];

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
    other_browsers();
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
    if !Path::new(system).exists() {
        let what = || format!("no browser at {system}, and MONOLENS_CHROMIUM names none");
        apt::install(&[PACKAGE]).with_context(what)?;
    }
    Ok(system.into())
}

/// Installs Firefox and WebKit where that is possible; the tests in those that are not there are skipped and say so.
fn other_browsers() {
    let missing: Vec<&str> =
        OTHERS.iter().filter(|(file, _)| !Path::new(file).exists()).map(|&(_, package)| package).collect();
    if missing.is_empty() {
        return;
    }
    if let Err(error) = apt::install(&missing) {
        println!("Tests in other browsers will be SKIPPED: {error:#}");
    }
}
