//! Parameters and memory by part of the model, for people.

use super::{Model, ModelError};
use crate::checkpoint::CheckpointError;
use crate::graphs::DecoderOptions;
use crate::quant::{self, Quantization};
use crate::weights::{check_wish, unused_tensors};
use std::collections::{BTreeMap, BTreeSet};

/// A part of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// Patch and position embeddings; InternViT.
    Vision,
    /// `mlp1`.
    Connector,
    /// Token embedding.
    Embedding,
    /// Attention projections of text rows (and of all rows, where shared).
    Attention,
    /// Attention projections of visual rows.
    VisualAttention,
    /// Feed-forward network of text rows (and of all rows, where shared).
    FeedForward,
    /// Feed-forward network of visual rows.
    VisualFeedForward,
    /// The decoder's norms.
    Norms,
    /// Output projection.
    Output,
    /// What no model uses.
    Other,
}

impl Part {
    /// The part that a tensor belongs to.
    pub fn of(tensor: &str) -> Self {
        let Some(name) = tensor.strip_prefix("language_model.") else {
            return match tensor.split('.').next() {
                Some("vision_model") => Part::Vision,
                Some("mlp1") => Part::Connector,
                _ => Part::Other,
            };
        };
        let has = |part: &str| name.contains(part);
        match name {
            _ if has("rotary_emb.") => Part::Other,
            _ if name.starts_with("output.") => Part::Output,
            _ if has("tok_embeddings.") => Part::Embedding,
            _ if has(".feed_forward_ve.") => Part::VisualFeedForward,
            _ if has(".feed_forward.") => Part::FeedForward,
            _ if has(".wqkv_ve.") || has(".wo_ve.") => Part::VisualAttention,
            _ if has(".wqkv.") || has(".wo.") => Part::Attention,
            _ if has("norm.") => Part::Norms,
            _ => Part::Other,
        }
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Part::Vision => "vision",
            Part::Connector => "connector (mlp1)",
            Part::Embedding => "token embedding",
            Part::Attention => "attention",
            Part::VisualAttention => "attention, visual experts",
            Part::FeedForward => "feed-forward",
            Part::VisualFeedForward => "feed-forward, visual experts",
            Part::Norms => "norms",
            Part::Output => "output",
            Part::Other => "other",
        }
    }
}

/// Size of one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSize {
    /// The part.
    pub part: Part,
    /// Number of parameters.
    pub parameters: u64,
    /// Bytes as they are loaded.
    pub bytes: u64,
}

/// Sums a model's weights by part, in the order of [`Part`], empty parts left out: as stored, or with a wish for smaller
/// weights as they would be loaded. What no graph uses is counted as stored.
///
/// # Errors
/// Weights that are not stored as the configuration says.
pub fn part_sizes(model: &Model, wish: Option<Quantization>) -> Result<Vec<PartSize>, ModelError> {
    let graphs = [model.vision_graph(false)?, model.decoder_graph(&DecoderOptions::default())?];
    let mut sizes = BTreeMap::new();
    let mut add = |part, parameters, bytes| {
        let size = sizes.entry(part).or_insert(PartSize { part, parameters: 0, bytes: 0 });
        size.parameters += parameters;
        size.bytes += bytes;
    };
    let (mut seen, mut supplies) = (BTreeSet::new(), Vec::new());
    for weight in graphs.iter().flat_map(|graph| &graph.weights) {
        if !seen.insert(&weight.name) {
            continue;
        }
        let (supply, origin) = (model.supply(weight, wish)?, model.origin(&weight.name));
        supplies.push(supply);
        match model.tensors().info(origin.tensor()).filter(|_| supply.is_plain()) {
            Some(info) => add(Part::of(&weight.name), info.elements(), info.bytes()),
            None => {
                let missing = || CheckpointError::MissingTensor {
                    tensor: weight.name.clone(),
                    expected: "a shape that memory can hold".into(),
                };
                let bytes = supply.format().bytes(&weight.shape).ok_or_else(missing)?;
                let elements: usize = weight.shape.iter().product();
                add(Part::of(&weight.name), elements as u64, bytes as u64);
            }
        }
    }
    check_wish(model.config(), wish, &supplies)?;
    let names = unused_tensors(model.config(), &[&graphs[0], &graphs[1]], model.tensors());
    for name in names.into_iter().filter(|name| quant::base_of(name).is_none()) {
        if let Some(info) = model.tensors().info(name) {
            add(Part::of(name), info.elements(), info.bytes());
        }
    }
    Ok(sizes.into_values().collect())
}
