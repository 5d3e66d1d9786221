//! Ctrl-C: the first stops what is being done, a second one before that happened ends the program.

use anyhow::{Context, Result};
use std::sync::atomic::{AtomicBool, Ordering};

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Exit status of a program ended by Ctrl-C.
const STATUS: i32 = 130;

/// Begins to listen.
///
/// # Errors
/// When the system does not allow it.
pub fn listen() -> Result<()> {
    ctrlc::set_handler(|| {
        if HAPPENED.swap(true, Ordering::SeqCst) {
            std::process::exit(STATUS);
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether Ctrl-C was pressed since [`reset`].
pub fn happened() -> bool {
    HAPPENED.load(Ordering::SeqCst)
}

/// Forgets an earlier Ctrl-C.
pub fn reset() {
    HAPPENED.store(false, Ordering::SeqCst);
}
