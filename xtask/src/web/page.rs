//! `cargo xtask web`: builds the page, serves it on this machine and opens it.

use super::{ModuleOptions, build_module, npm, tool};
use crate::root;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// What to do with the page.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    module: ModuleOptions,
    /// Only build `web/dist`
    #[arg(long)]
    build_only: bool,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// Port to serve on; any free one if none is given
    #[arg(long, default_value_t = 0)]
    port: u16,
}

/// Builds and serves the page.
///
/// # Errors
/// A failed build, which a page that is too large is as well; a port that is taken.
pub fn run(options: &Options) -> Result<()> {
    build_module(&options.module)?;
    npm("web", &["ci"])?;
    npm("web", &["run", "build"])?;
    if options.build_only { Ok(()) } else { serve(options) }
}

impl Options {
    /// Only build the page.
    pub fn build_only(module: ModuleOptions) -> Self {
        Self { module, build_only: true, no_open: true, port: 0 }
    }
}

fn serve(options: &Options) -> Result<()> {
    let dist = root().join("web/dist");
    let mut server = tool(&["serve", &dist.to_string_lossy(), "--port", &options.port.to_string()]);
    let mut server =
        server.current_dir(root()).stdout(Stdio::piped()).spawn().context("cannot start the server")?;
    let mut lines = BufReader::new(server.stdout.take().context("the server has no output")?).lines();
    if let Some(Ok(address)) = lines.next() {
        println!("\nThe page is at {address} (Ctrl-C ends it)");
        if !options.no_open && !open(&address) {
            println!("Open it in a browser with WebGPU.");
        }
    }
    let status = server.wait()?;
    ensure!(status.success(), "the server ended: {status}");
    Ok(())
}

/// Opens an address in the user's browser.
fn open(address: &str) -> bool {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        let mut command = Command::new("cmd");
        command.args(["/C", "start", ""]);
        command
    } else {
        Command::new("xdg-open")
    };
    command.arg(address).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
