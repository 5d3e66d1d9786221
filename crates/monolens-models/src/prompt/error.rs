//! What can be wrong with a prompt.

use crate::tokenizer::TokenizerError;
use thiserror::Error;

/// A prompt that cannot be built.
#[derive(Debug, Error)]
pub enum PromptError {
    /// Nothing was asked.
    #[error("prompt: expected a question, got none")]
    Empty,
    /// Placeholders and images do not match.
    #[error("prompt: expected one `<image>` for each of {images} images, got {placeholders}")]
    Placeholders {
        /// Images given.
        images: usize,
        /// `<image>` in question and history.
        placeholders: usize,
    },
    /// The text itself contains the placeholder token of visual tokens.
    #[error(
        "prompt: expected {expected} visual tokens, got {got}: the text must not contain `<IMG_CONTEXT>`"
    )]
    ContextTokens {
        /// Tiles times tokens per tile.
        expected: usize,
        /// Placeholder ids in the prompt.
        got: usize,
    },
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}
