//! The visual tokenizer of Mono-InternVL: patches, positions, pixel shuffle, MLP (spec §4).

use super::visual_tokens::{patches, tokens};
use crate::config::ModelConfig;
use monolens_graph::{Graph, GraphBuilder, GraphError};

/// Builds the vision graph: pixels in, visual embeddings into their state. `taps` makes the
/// intermediate values outputs.
///
/// # Errors
/// [`GraphError`] if the configuration contradicts itself.
pub fn vision_mono(config: &ModelConfig, taps: bool) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("vision");
    // The official model computes a class token and throws it away.
    let x = patches(&mut g, config, false, taps)?;
    tokens(&mut g, config, false, x, taps)?;
    Ok(g.finish())
}
