//! Parameters and memory by part of the model, for people.

use crate::checkpoint::TensorSource;

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
    /// Bytes as stored.
    pub bytes: u64,
}

/// Sums a checkpoint's tensors by part, in the order of [`Part`], empty parts left out.
pub fn part_sizes(tensors: &dyn TensorSource) -> Vec<PartSize> {
    let mut sizes = std::collections::BTreeMap::new();
    for name in tensors.names() {
        let Some(info) = tensors.info(name) else {
            continue;
        };
        let part = Part::of(name);
        let size = sizes.entry(part).or_insert(PartSize { part, parameters: 0, bytes: 0 });
        size.parameters += info.elements();
        size.bytes += info.bytes();
    }
    sizes.into_values().collect()
}
