//! The hot loops: products of rows with weights, and what attention needs, for each instruction set.
//!
//! Every function takes the [`crate::Isa`] to use, so that tests can hold each path to the plain one.

#[cfg(target_arch = "x86_64")]
mod bf16;
mod dot;
mod exp;
mod gemm;
mod gemv;
#[cfg(target_arch = "x86_64")]
mod integers;
mod matmul;
mod shared;

pub use crate::grouped::GroupedView;
pub use crate::weight::View;
pub use dot::{add_scaled, dot};
pub use exp::{exponentials, swiglu};
pub use gemm::{Matrix, MatrixMut, gemm};
pub use gemv::{ROWS, gemv};
pub use matmul::{Product, Sink, matmul};
pub(crate) use shared::SharedRows;
