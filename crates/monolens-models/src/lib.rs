//! The models that Monolens runs, without a device: configuration, checkpoint, tokenizer, image
//! tiles, prompts and graphs of Mono-InternVL 1.0 and 1.5 and of the modular InternVL-1.5.
//!
//! Nothing here computes a layer. The crate turns a folder in the Hugging Face layout into plain
//! data: a checked [`config::ModelConfig`], tensors by name ([`checkpoint`]), token ids
//! ([`tokenizer`], [`prompt`]) and pixel values ([`image`]). Section numbers such as "spec §3"
//! in the documentation refer to the project's inference specification.

pub mod checkpoint;
pub mod config;
#[cfg(not(target_arch = "wasm32"))]
mod files;
pub mod graphs;
pub mod grounding;
pub mod image;
mod model;
pub mod prompt;
pub mod quant;
pub mod random;
mod rope;
pub mod tokenizer;
pub mod weights;

pub use model::{Model, ModelError, ModelParts, Part, PartSize, Weight, part_sizes};
pub use rope::Rope;

#[cfg(test)]
mod test_support;
