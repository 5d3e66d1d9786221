//! Whether a device computes what it should.
//!
//! [`golden`]: a small model of the official code and what it answers; a browser runs it at load. Natively (the feature
//! `selftest`) [`checks`] runs it too, after every operator of the graph at small shapes against the CPU reference, and
//! [`proof`] does all that within a time limit, where a crash or a device that hangs does no harm.

#[cfg(feature = "selftest")]
mod bundled;
#[cfg(feature = "selftest")]
pub mod checks;
pub mod golden;
#[cfg(feature = "selftest")]
pub mod proof;
#[cfg(feature = "selftest")]
mod ways;

#[cfg(feature = "selftest")]
pub use ways::ways;
