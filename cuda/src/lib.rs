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
//! **Plain products.** Where cuBLASLt is on the machine, it multiplies what is a matrix product and nothing else: projections
//! of many rows that are not routed, by weights in bf16 (`ops/product.rs`). Rows are packed as for this crate's own
//! kernels, which do everything else, and this too where there is no such library.
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
pub use monolens_cache::Cache;

use monolens_graph::BackendError;

/// How activations meet weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// Activations are rounded to bf16 where tensor cores multiply them with 16-bit weights or keys.
    #[default]
    Fast,
    /// As accurate as f32.
    Exact,
}

/// Who multiplies where nothing but a product of matrices is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gemm {
    /// cuBLASLt where it is there, else this crate's kernels.
    #[default]
    Auto,
    /// This crate's kernels.
    Own,
    /// cuBLASLt; a machine without it is an error.
    Library,
}

impl Gemm {
    /// The environment variable that says it.
    pub const VARIABLE: &str = "MONOLENS_GEMM";

    /// By its name: `auto`, `own` or `cublaslt`; automatic if there is none.
    ///
    /// # Errors
    /// Another name.
    pub fn named(name: &str) -> Result<Self, BackendError> {
        match name {
            "" | "auto" => Ok(Self::Auto),
            "own" => Ok(Self::Own),
            "cublaslt" => Ok(Self::Library),
            other => Err(BackendError::input("environment", Self::VARIABLE, "auto, own or cublaslt", other)),
        }
    }

    /// What the environment says.
    ///
    /// # Errors
    /// A name that is none.
    pub fn of_environment() -> Result<Self, BackendError> {
        Self::named(&std::env::var_os(Self::VARIABLE).unwrap_or_default().to_string_lossy())
    }
}

/// Options of [`CudaBackend::open`].
#[derive(Clone, Debug)]
pub struct CudaOptions {
    /// The device by its number or part of its name; else the first.
    pub device: Option<String>,
    /// How activations meet weights.
    pub arithmetic: Arithmetic,
    /// Who multiplies where nothing but a product is asked for.
    pub gemm: Gemm,
    /// Whether repeated runs are recorded as CUDA graphs.
    pub graphs: bool,
}

impl Default for CudaOptions {
    fn default() -> Self {
        Self { device: None, arithmetic: Arithmetic::Fast, gemm: Gemm::Auto, graphs: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_multiplies_has_three_names() {
        for (name, gemm) in
            [("", Gemm::Auto), ("auto", Gemm::Auto), ("own", Gemm::Own), ("cublaslt", Gemm::Library)]
        {
            assert_eq!(Gemm::named(name).unwrap(), gemm);
        }
        let error = Gemm::named("cublas").unwrap_err().to_string();
        assert_eq!(error, "environment: MONOLENS_GEMM: expected auto, own or cublaslt, got cublas");
    }
}
