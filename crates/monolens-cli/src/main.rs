//! The `monolens` command. Everything is in the library, so that tests can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    monolens_cli::main()
}
