//! The `monolens` command as a library, so that tests can call its parts.
//!
//! One file a command in [`commands`]; [`verify`] holds the comparison with golden data, [`draw`] the pictures,
//! [`machine`] what `monolens doctor` finds out. Commands talk to the engine and to nothing below it.

pub mod draw;
pub mod exit;
pub mod machine;
pub mod verify;

use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
