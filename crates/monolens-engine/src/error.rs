//! What can go wrong between a request and its answer.

use monolens_graph::{BackendError, GraphError};
use monolens_models::checkpoint::CheckpointError;
use monolens_models::image::ImageError;
use monolens_models::prompt::PromptError;
use monolens_models::tokenizer::TokenizerError;

/// An error of the engine. Each says what was expected and what was there.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The device. After [`BackendError::DeviceLost`] call [`crate::Engine::recover`].
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The device's memory is too small for the model, or for its context.
    #[error("{error}. {advice}")]
    TooLarge {
        /// What the device said.
        error: BackendError,
        /// What takes how much, and what would fit.
        advice: String,
    },
    /// The checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The model's graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Anything else in the model's files.
    #[error("{0}")]
    Model(String),
    /// An image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The prompt of a conversation.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A conversation that makes no sense.
    #[error("conversation: {0}")]
    Chat(&'static str),
    /// Weights could not be read.
    #[error("weight {name}: {reason}")]
    Weights {
        /// The tensor.
        name: String,
        /// Why.
        reason: String,
    },
    /// Loading was stopped by the caller.
    #[error("loading was cancelled")]
    Cancelled,
    /// The prompt, or the prompt with the answer so far, is longer than the context.
    #[error(
        "the prompt has {needed} tokens ({visual} visual), the context holds {available}, the answer included{}",
        hint(.visual)
    )]
    ContextOverflow {
        /// Tokens of the prompt.
        needed: usize,
        /// How many of them are visual.
        visual: usize,
        /// Tokens that fit.
        available: usize,
    },
    /// The prompt has no token.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// An id beyond the vocabulary.
    #[error("token id {id} at position {position}: expected ids below {vocab}")]
    BadToken {
        /// The id.
        id: u32,
        /// Where it is.
        position: usize,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// Placeholders in the prompt and visual tokens of the images differ in number (spec §5).
    #[error("the prompt has {placeholders} image placeholders, the images have {visual} visual tokens")]
    VisualMismatch {
        /// Placeholder ids in the prompt.
        placeholders: usize,
        /// Visual tokens of all tiles.
        visual: usize,
    },
    /// A tile has another size than the model's.
    #[error("a tile has {got} bytes, the model takes {expected} (side x side x 3)")]
    TileSize {
        /// By the model.
        expected: usize,
        /// Given.
        got: usize,
    },
    /// A setting out of range.
    #[error("{name}: expected {expected}, got {got}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its range.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Sampling found no finite logit: weights or arithmetic are broken.
    #[error("the model produced no finite logits")]
    NoFiniteLogits,
    /// A tap that the model's graph does not have.
    #[error("no tensor {name} can be read; there are {known}")]
    UnknownTap {
        /// The name asked for.
        name: String,
        /// Those there are.
        known: String,
    },
    /// The device was lost earlier, and [`crate::Engine::recover`] was not called since.
    #[error("the device was lost; the engine needs a new one")]
    NeedsRecovery,
    /// The bookkeeping contradicts itself.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// What helps where images take much of the context.
fn hint(visual: &usize) -> &'static str {
    if *visual > 0 { "; fewer images or tiles take less" } else { "" }
}

impl EngineError {
    /// Whether the device is gone, so that [`crate::Engine::recover`] is the way on.
    pub fn is_device_lost(&self) -> bool {
        matches!(self, Self::Backend(BackendError::DeviceLost { .. }) | Self::NeedsRecovery)
    }
}
