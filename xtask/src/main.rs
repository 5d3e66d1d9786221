//! Chores of the project. `cargo xtask test` is the one test command: it installs or names what it needs, then checks
//! format and lints and runs every test.

mod apt;
mod browser;
mod bundle;
mod nvrtc;
mod test;
mod vulkan;
mod web;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::Command;

#[derive(Parser)]
#[command(about = "Chores of the Monolens project")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Format, lints and all tests
    Test(test::Options),
    /// Only look for a Vulkan device for the GPU tests, and install Mesa's software one where that is possible
    Vulkan,
    /// Only fetch the CUDA compiler (NVRTC) for the test that compiles every CUDA kernel
    Nvrtc,
    /// Build what cuda/gpu-check needs on a machine with a GPU and no Rust
    GpuBundle,
    /// Build the engine as a WebAssembly module into web/src/wasm, and do web-assets
    Wasm(web::ModuleOptions),
    /// Copy model, examples and self-test into web/public
    WebAssets,
    /// Build the browser demo, serve it on this machine and open it
    Web(web::PageOptions),
    /// Build benches/blocks as a WebAssembly module, for benches/peers
    Blocks(web::ModuleOptions),
    /// Build the page and test it, the library and the engine in Chromium
    BrowserTests(browser::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Test(options) => test::run_all(&options),
        Task::GpuBundle => bundle::build(),
        Task::Nvrtc => nvrtc::ensure().map(|found| println!("NVRTC: {}", found.display())),
        Task::Vulkan => vulkan::ensure().map(|found| println!("Vulkan device: {found}")),
        Task::Wasm(options) => web::build_module(&options),
        Task::WebAssets => web::prepare_assets(),
        Task::Web(options) => web::run_page(&options),
        Task::Blocks(options) => web::package(
            "monolens-blocks",
            "monolens_blocks",
            &root().join("target/browser-blocks"),
            &options,
        ),
        Task::BrowserTests(options) => browser::run_all(&options),
    }
}

/// The project's root.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether packages can be installed.
fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"))
}

/// Runs a command from the root, showing it, and fails if it does.
fn run(command: &mut Command) -> Result<()> {
    let shown = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|a| a.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    println!("\n> {shown}");
    let status = command.current_dir(root()).status().with_context(|| format!("cannot start: {shown}"))?;
    if !status.success() {
        bail!("failed ({status}): {shown}");
    }
    Ok(())
}
