//! `cargo xtask wasm`, `web-assets` and `web`: the browser demo.

mod assets;
mod manifest;
mod module;
mod page;
mod sizes;
mod toolchain;

pub use assets::prepare as prepare_assets;
pub use module::{Options as ModuleOptions, build as build_module, package};
pub use page::{Options as PageOptions, run as run_page};

use crate::run;
use anyhow::{Context, Result};
use std::process::Command;

/// The other program of this package.
fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    let build =
        ["run", "--quiet", "--package", "xtask", "--bin", "web-tools", "--features", "web-tools", "--"];
    command.args(build).args(arguments);
    command
}

/// npm in a folder of the project.
pub fn npm_command(folder: &str) -> Command {
    let mut command = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    command.args(["--prefix", folder]);
    command
}

/// Runs npm in a folder of the project.
///
/// # Errors
/// When npm is missing or fails.
pub fn npm(folder: &str, arguments: &[&str]) -> Result<()> {
    run(npm_command(folder).args(arguments)).context("is Node.js installed?")
}

fn run_tool(arguments: &[&str]) -> Result<()> {
    run(&mut tool(arguments))
}
