//! Runs a graph with WGSL shaders on wgpu, natively (Vulkan, Metal, DirectX 12) and in the browser (WebGPU).
//!
//! ```no_run
//! # async fn open() -> Result<(), monolens_graph::BackendError> {
//! use monolens_wgpu::{WgpuBackend, WgpuOptions};
//! let backend = WgpuBackend::open(WgpuOptions::default()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! **How a plan runs.** [`WgpuBackend`] lowers each node of a plan to launches of kernels (`ops`, one file an operator);
//! a kernel is a permutation of a file in `shaders/` ([`shaders`]) with the buffers it binds. A run writes the inputs
//! and one uniform buffer with the parameters of all launches, records them and submits; only outputs that were asked
//! for come back. Nothing is allocated once a program has run.
//!
//! **Buffers.** WebGPU guarantees eight storage buffers a kernel, so small things share: vectors (norm weights, biases,
//! layer scales) lie in one buffer as f32, the index inputs of a program (rows, routing, page table, rotations) in
//! another; kernels find them by offsets among their parameters. Matrices have buffers of their own, rows padded to
//! groups of eight elements, and are split by rows where they exceed what the device can bind.
//!
//! **Presets.** The projections' kernels have a few configurations ([`Prefill`], [`Decode`]); a [`Tuning`] says which a backend
//! takes for which weights. Without one it takes defaults.
//!
//! **Tiers.** [`Tier`] is what a device can do; everything runs on [`Tier::Baseline`], WebGPU's default limits.

mod adapters;
mod backend;
mod begun;
mod gpu;
mod matrix;
mod ops;
mod pace;
mod pipelines;
mod presets;
mod program;
pub mod shaders;
mod states;
mod tier;
mod tuning;
mod upload;
mod weights;

pub use adapters::{AdapterReport, adapters};
pub use backend::{WgpuBackend, WgpuOptions};
pub use matrix::MatrixUnit;
pub use presets::{Decode, Prefill, Tile};
pub use tier::Tier;
pub use tuning::{Choice, Class, Tuning};
