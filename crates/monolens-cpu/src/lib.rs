//! Runs a graph in plain Rust: the reference that every backend is held to, and what a machine without a GPU uses.
//!
//! Each operator is a file of [`ops`] with the operator's name, written for reading. What is hot (products with weights)
//! is in [`kernels`], with code for the instruction sets of the machine, chosen when it runs.
//!
//! ```
//! use monolens_cpu::{CpuBackend, CpuOptions};
//! use monolens_graph::Backend;
//! let backend = CpuBackend::new(CpuOptions::default())?;
//! println!("{}", backend.device().name);
//! # Ok::<(), monolens_graph::BackendError>(())
//! ```

#[cfg(target_endian = "big")]
compile_error!("weights and inputs are little-endian and used as they lie in memory");

mod backend;
mod frame;
mod grouped;
mod isa;
pub mod kernels;
pub mod ops;
mod options;
mod pages;
mod pool;
mod program;
mod state;
mod weight;

pub use backend::CpuBackend;
pub use isa::Isa;
pub use options::{Arithmetic, CpuOptions};
pub use pool::Pool;
