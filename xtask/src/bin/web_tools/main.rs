//! Tools of `cargo xtask web` that take long to build: wasm-bindgen and a static server.

mod serve;

use anyhow::Result;
use clap::Parser;
use std::path::PathBuf;

#[derive(Parser)]
enum Tool {
    /// Makes the JavaScript and TypeScript around a module
    Bindgen { module: PathBuf, out: PathBuf },
    /// Serves a folder on this machine
    Serve {
        folder: PathBuf,
        /// 0 takes any free one
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

fn main() -> Result<()> {
    match Tool::parse() {
        Tool::Bindgen { module, out } => {
            let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
            bindgen.input_path(module).web(true)?.typescript(true).omit_default_module_path(false);
            bindgen.remove_name_section(true).remove_producers_section(true);
            bindgen.generate(out)
        }
        Tool::Serve { folder, port } => serve::run(&folder, port),
    }
}
