//! What goes wrong on a device, and the words that backends have for it in common.

use crate::backend::{BackendKind, ProgramId};

/// What went wrong on a device.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BackendError {
    /// The backend or adapter that was asked for is not on this machine.
    #[error("{what} is not available: {reason}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// Why it cannot be had, and what would help.
        reason: String,
    },
    /// The device lacks what the plan needs.
    #[error("{what}: the device has {limit}, {needed} are needed")]
    Limit {
        /// Which limit or feature.
        what: String,
        /// What is needed.
        needed: String,
        /// What the device offers.
        limit: String,
    },
    /// Device memory is full.
    #[error("out of memory on {device}: {requested} bytes for {what} ({used} bytes are in use)")]
    OutOfMemory {
        /// Device name.
        device: String,
        /// What was to be allocated.
        what: String,
        /// Bytes asked for.
        requested: u64,
        /// Bytes in use already.
        used: u64,
    },
    /// The device is gone; everything on it is lost and the backend must be made anew.
    #[error("the device was lost: {reason}")]
    DeviceLost {
        /// What the driver said.
        reason: String,
    },
    /// A weight that a program needs was not loaded, or in another shape.
    #[error("weight {name}: expected {expected}, got {got}")]
    Weight {
        /// Checkpoint name.
        name: String,
        /// What the program needs.
        expected: String,
        /// What was loaded.
        got: String,
    },
    /// A run was given an input that does not fit its program.
    #[error("{program}: {what}: expected {expected}, got {got}")]
    Input {
        /// The program.
        program: String,
        /// The input, state, output or axis.
        what: String,
        /// What the program needs.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// The device or its driver did something that it should not.
    #[error("{0}")]
    Device(String),
}

impl BackendError {
    /// An input, state or output does not fit its program.
    pub fn input(
        program: impl Into<String>,
        what: impl Into<String>,
        expected: impl ToString,
        got: impl ToString,
    ) -> Self {
        let (program, what) = (program.into(), what.into());
        Self::Input { program, what, expected: expected.to_string(), got: got.to_string() }
    }

    /// Bytes of a weight came before it was begun.
    pub fn no_upload() -> Self {
        let expected = "a weight begun with begin_weight".into();
        Self::Weight { name: "(none)".into(), expected, got: "none".into() }
    }

    /// There is no such program among this many.
    pub fn no_program(backend: BackendKind, program: ProgramId, programs: usize) -> Self {
        Self::input(backend.to_string(), "program", format!("below {programs}"), program.0)
    }

    /// There is no such state.
    pub fn no_state(backend: BackendKind, name: &str) -> Self {
        Self::state(backend, name, "an allocated state", "none of this name")
    }

    /// A state is not as it should be.
    pub fn state(backend: BackendKind, name: &str, expected: impl ToString, got: impl ToString) -> Self {
        Self::input(backend.to_string(), format!("state {name}"), expected, got)
    }

    /// The same error with what is in use, if it is one about memory.
    #[must_use]
    pub fn with_used(self, bytes: u64) -> Self {
        match self {
            Self::OutOfMemory { device, what, requested, .. } => {
                Self::OutOfMemory { device, what, requested, used: bytes }
            }
            other => other,
        }
    }
}
