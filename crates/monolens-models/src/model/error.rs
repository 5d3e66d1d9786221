//! What can be wrong with a model folder.

use crate::checkpoint::CheckpointError;
use crate::config::ConfigError;
use crate::tokenizer::TokenizerError;
use monolens_graph::GraphError;
use thiserror::Error;

/// A model that cannot be opened.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file could not be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The tokenizer has ids that the embedding table has not.
    #[error("tokenizer: expected ids below llm_config.vocab_size {vocab_size}, got up to {largest_id}")]
    Vocabulary {
        /// Rows of the embedding table.
        vocab_size: usize,
        /// The tokenizer's largest id.
        largest_id: usize,
    },
    /// No such preset.
    #[error("random model: expected {expected}, got `{got}`")]
    Preset {
        /// The presets' names.
        expected: String,
        /// What was asked for.
        got: String,
    },
}
