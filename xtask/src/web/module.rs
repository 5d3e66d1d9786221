//! `cargo xtask wasm`: the engine as a WebAssembly module in `web/src/wasm/`.

use super::toolchain::{self, Choice};
use super::{prepare_assets, run_tool, sizes};
use crate::{root, run};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// How to build the module.
#[derive(Clone, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Where the compiler and its standard library for WebAssembly come from
    #[arg(long, value_enum, default_value_t = Choice::Auto)]
    pub(super) toolchain: Choice,
}

/// Builds the page's module and prepares what goes with it.
///
/// # Errors
/// A missing toolchain, with what to install; a failed build.
pub fn build(options: &Options) -> Result<()> {
    let out = root().join("web/src/wasm");
    package("monolens-web", "monolens_web", &out, options)?;
    let wasm = out.join("monolens_web_bg.wasm");
    println!("web/src/wasm: {}", sizes::of_file(&wasm)?);
    prepare_assets()
}

/// Builds a crate's module with its JavaScript and TypeScript into `out`.
///
/// # Errors
/// As [`build`].
pub fn package(krate: &str, library: &str, out: &Path, options: &Options) -> Result<()> {
    let rustc = toolchain::rustc(options.toolchain)?;
    // The folder is told apart by compiler, so that changing it rebuilds nothing twice.
    let target_dir = root().join(if rustc.is_some() { "target/wasm-debian" } else { "target/wasm" });
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--lib",
        "--package",
        krate,
        "--profile",
        "wasm",
        "--target",
        TARGET,
        "--target-dir",
    ]);
    cargo.arg(&target_dir);
    if let Some(rustc) = rustc {
        cargo.env("RUSTC", rustc);
    }
    run(&mut cargo)?;
    let module: PathBuf = target_dir.join(TARGET).join("wasm").join(format!("{library}.wasm"));
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    run_tool(&["bindgen", &module.to_string_lossy(), &out.to_string_lossy()])
}
