//! What the tests across crates share: operator cases with random shapes, and the comparison of backends.
//!
//! A [`case::Case`] is a small graph with random weights, states and inputs. [`cases::all`] lists, for every operator,
//! how to draw one. [`run::Runner`] runs a case on a backend; [`compare`] holds the results to the limits of the design.

pub mod case;
pub mod cases;
pub mod compare;
#[cfg(not(target_arch = "wasm32"))]
pub mod cuda;
pub mod parity;
pub mod run;

pub use monolens_graph::plan::Fusions;
#[cfg(feature = "wgpu")]
pub use monolens_wgpu::Tier;
