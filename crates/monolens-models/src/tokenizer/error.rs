//! What can be wrong with a tokenizer's files.

use thiserror::Error;

/// A tokenizer that cannot be read.
#[derive(Debug, Error)]
pub enum TokenizerError {
    /// A file could not be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds no tokenizer.
    #[error("{folder}: expected tokenizer.model or tokenizer.json, found neither")]
    Missing {
        /// The folder.
        folder: String,
    },
    /// A file is malformed or asks for something that is not supported.
    #[error("{file}: expected {expected}, got {got}")]
    File {
        /// The file.
        file: &'static str,
        /// What is readable.
        expected: String,
        /// What the file holds.
        got: String,
    },
    /// A token that the prompts need is not in the vocabulary.
    #[error("expected a token `{token}` in the vocabulary, found none")]
    NoToken {
        /// The token's text.
        token: &'static str,
    },
    /// The tokenizer library failed on a text.
    #[error("tokenizer.json: {0}")]
    Library(String),
}

impl TokenizerError {
    pub(crate) fn file(file: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        TokenizerError::File { file, expected: expected.into(), got: got.into() }
    }
}
