//! Operator cases with random shapes, and how a backend is held to the CPU reference in them.
//!
//! A [`case::Case`] is a small graph with random weights, states and inputs. [`cases::all`] lists, for every operator,
//! how to draw one. [`run::Runner`] runs a case on a backend; [`compare`] knows the limits of the design; [`report`] runs the
//! same cases on two backends. The tests do that at length, an engine's self-test with a few cases on the user's own device.

pub mod case;
pub mod cases;
pub mod compare;
pub mod report;
pub mod run;

pub use monolens_graph::plan::Fusions;
