//! Runs a graph with CUDA kernels on NVIDIA GPUs of compute capability 8.0 and up.
//!
//! ```no_run
//! use monolens_cuda::{CudaBackend, CudaOptions};
//! let backend = CudaBackend::open(&CudaOptions::default())?;
//! # Ok::<(), monolens_graph::BackendError>(())
//! ```
//!
//! **No CUDA is needed to build this.** The driver and the compiler NVRTC are loaded when a device is opened; the kernels'
//! sources are in the binary ([`kernels`]), compiled on the user's machine and cached on disk ([`driver`]).
//!
//! **How a plan runs.** [`CudaBackend`] lowers each node to launches (`ops`, one file an operator, named as the kernel's
//! file). A run packs its inputs into one buffer, makes the list of its launches with their parameters (a
//! [`gpu::Recording`]) and launches them; only outputs that were asked for come back. When a run of few rows has the very
//! list of launches of one before (decoding does), it is recorded once as a CUDA graph and replayed. Whatever grows while a
//! sequence grows lies in memory rather than among the parameters, so that the list stays the same.
//!
//! **Numbers.** Activations between operators and all sums are f32. Tensor cores take bf16, so rows of x become sums of
//! bf16 terms first: one term in [`Arithmetic::Fast`]; in [`Arithmetic::Exact`] as many as keep f32's accuracy. Weights
//! that are not bf16 are cut into terms in the same way.
//!
//! **What is asked of a device** is the trait [`gpu::Gpu`]. Tests give it a CPU that runs the same kernels.

mod backend;
pub mod driver;
pub mod gpu;
pub mod kernels;
mod ops;
mod program;
mod states;
mod weights;

pub use backend::CudaBackend;

/// How activations meet weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// Activations are rounded to bf16 where tensor cores multiply them with 16-bit weights or keys.
    #[default]
    Fast,
    /// As accurate as f32.
    Exact,
}

/// Options of [`CudaBackend::open`].
#[derive(Clone, Debug)]
pub struct CudaOptions {
    /// The device by its number or part of its name; else the first.
    pub device: Option<String>,
    /// How activations meet weights.
    pub arithmetic: Arithmetic,
    /// Whether repeated runs are recorded as CUDA graphs.
    pub graphs: bool,
}

impl Default for CudaOptions {
    fn default() -> Self {
        Self { device: None, arithmetic: Arithmetic::Fast, graphs: true }
    }
}
