//! What a model computes, as plain data: values, operators, weights by checkpoint name.
//!
//! A model is a [`Graph`] built with a [`GraphBuilder`]; the [`plan`] module fuses its nodes and gives its values
//! memory; a [`Backend`] runs the resulting [`plan::Plan`]. This crate knows no device, no file format and no model.
//!
//! ```
//! use monolens_graph::{Axis, DType, GraphBuilder, ops};
//! let mut g = GraphBuilder::new("one norm");
//! let x = g.input("x", DType::F32, [Axis::Rows.into(), 64.into()]);
//! let weight = g.weight("norm.weight", [64]);
//! let y = g.push("norm", ops::RmsNorm { weight, eps: 1e-5 }, &[x])?;
//! g.output("y", y)?;
//! let graph = g.finish();
//! assert!(graph.to_string().contains("rms_norm"));
//! # Ok::<(), monolens_graph::GraphError>(())
//! ```
//!
//! **Routing is an attribute of an operator.** A routed [`ops::Linear`] or [`ops::GateUp`] names one weight set per
//! modality in a [`Routed`]; which row is of which modality is the graph input [`batch::ROUTING`].

pub mod backend;
pub mod batch;
mod dtype;
mod error;
mod graph;
pub mod ops;
pub mod plan;
mod print;
mod shape;

pub use backend::{Backend, BackendError};
pub use dtype::DType;
pub use error::GraphError;
pub use graph::{Expert, Graph, GraphBuilder, Node, Routed, Source, Value, ValueId, WeightId, WeightSpec};
pub use ops::Op;
pub use shape::{Axes, Axis, Dim, Shape};
