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
//!
//! # Conventions that model builders and their callers share
//!
//! - A model gives two graphs. **Vision**: [`batch::PIXELS`] and [`batch::VISUAL_SLOTS`] in, the state [`batch::VISUAL`]
//!   written by [`ops::StoreRows`]. **Decoder**: the inputs of [`batch::Batch`] in, [`batch::NEXT_IDS`] out, and
//!   [`batch::LOGITS`] where it was built with them. Builders write the unfused operators (norm, linear, rope, attention,
//!   linear, add; norm, two linears, swiglu, linear, add) with the residual as the *first* input of [`ops::Add`]; the
//!   planner fuses. Decode and text-only prompts use [`plan::Plan::text_only`] of the same decoder graph.
//! - Taps, for verification and for looking inside, are graph outputs with the names of the golden files:
//!   `conv_patches`, `vision_embeddings`, `vision_hidden.{i}`, `vision_last_hidden`, `pixel_shuffled`, `vit_embeds`;
//!   `hidden.{i}` (residual stream before layer i; i = L after the last), `hidden_final_norm`, and `attention_map.{i}`
//!   ([`ops::AttentionMap`]).

// Shapes are written in brackets, `[rows]`, which rustdoc takes for links.
#![allow(rustdoc::broken_intra_doc_links)]

pub mod backend;
mod backend_error;
pub mod batch;
pub mod check;
mod cost;
mod dtype;
pub mod eight;
mod error;
mod format;
mod graph;
mod lowering;
pub mod ops;
pub mod plan;
mod print;
mod shape;

pub use backend::{Backend, BackendError};
pub use cost::{Cost, Lookback, OpTime};
pub use dtype::DType;
pub use error::GraphError;
pub use format::{Bits, GROUP_UNIT, Grouped, WeightFormat};
pub use graph::{Expert, Graph, GraphBuilder, Node, Routed, Source, Value, ValueId, WeightId, WeightSpec};
pub use lowering::Lowering;
pub use ops::Op;
pub use shape::{Axes, Axis, Dim, Shape};
