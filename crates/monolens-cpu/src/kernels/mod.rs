//! The hot loops: products of rows with weights, and what attention needs, for each instruction set.
//!
//! Every function takes the [`crate::Isa`] to use, so that tests can hold each path to the plain one.

mod attend;
#[cfg(target_arch = "x86_64")]
mod bf16_rows;
mod dot;
mod exp;
mod gemm;
mod gemv;
#[cfg(target_arch = "x86_64")]
mod integers;
mod matmul;
mod shared;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use crate::grouped::GroupedView;
pub use crate::weight::View;
pub use attend::{HeadRows, Span, add_values, scores};
pub use dot::dot;
pub use exp::{exponentials, swiglu};
pub use gemm::{Matrix, MatrixMut, gemm};
pub use gemv::{ROWS, gemv};
pub use matmul::{Product, Sink, matmul};
pub(crate) use shared::SharedRows;
