//! One decoder layer, its attention or its feed-forward block, timed on any backend: what `benches/peers` holds against
//! other engines. The same code runs natively (`monolens-blocks '{"blocks": ["layer"]}'`) and in a browser.

mod graph;
mod request;
mod run;
#[cfg(target_arch = "wasm32")]
mod web;

pub use graph::{Block, Sizes};
pub use request::{BackendName, Request, Rows};
pub use run::{Error, Report, Timed, run};
