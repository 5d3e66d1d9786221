//! The models as graphs: one decoder, two vision sides, over shared operators.

mod decoder;
mod experts;
#[cfg(test)]
mod tests;
mod vision_modular;
mod vision_mono;
mod visual_tokens;

pub use decoder::{DecoderOptions, decoder};
pub use experts::Experts;
pub use vision_modular::vision_modular;
pub use vision_mono::vision_mono;

use crate::config::ModelConfig;
use monolens_graph::{Graph, GraphError};

/// Builds the vision graph of either family. `taps` makes the intermediate values outputs.
///
/// # Errors
/// [`GraphError`] if the configuration contradicts itself.
pub fn vision(config: &ModelConfig, taps: bool) -> Result<Graph, GraphError> {
    match &config.vision.encoder {
        None => vision_mono(config, taps),
        Some(encoder) => vision_modular(config, encoder, taps),
    }
}
