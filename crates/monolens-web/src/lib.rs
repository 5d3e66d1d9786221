//! The engine in a browser's worker: the Rust side of the border that `web/src/engine/contract.ts` describes.
//!
//! [`load`] reads a model through the worker's `ModelFiles`, opens a device and gives a [`WasmEngine`], whose calls may
//! overlap: what needs the device waits in line (`turns`), everything else is at hand. Nothing here knows the page.
//!
//! Errors cross the border as JavaScript errors with a `code` (`failure`); a panic ends every call that is under way with
//! such an error (`panics`), because WebAssembly cannot unwind.

mod adapter;
mod border;
mod engine;
mod event_loop;
mod events;
mod failure;
mod files;
mod load;
mod logger;
mod model;
mod panics;
mod selftest;
mod turns;

pub use engine::WasmEngine;
pub use load::load;

use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = "import type {
  Attention, ChatMessage, AnswerEvent, EngineStats, ImageInfo, LoadOptions, ModelFiles, ModelInfo, OnProgress, SelfTest,
  Settings, Submitted,
} from '../engine/contract';";

/// Called when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    panics::install();
    logger::install();
}
