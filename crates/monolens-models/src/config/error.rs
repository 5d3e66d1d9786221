//! What can be wrong with a configuration.

use thiserror::Error;

/// A `config.json` (or `generation_config.json`) that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The file is no JSON object.
    #[error("{file}: expected a JSON object, got {got}")]
    Json {
        /// The file's name.
        file: &'static str,
        /// What the parser said.
        got: String,
    },
    /// A key holds something that the engine cannot run.
    #[error("config key `{key}`: expected {expected}, got {got}")]
    Key {
        /// Dotted path of the key, e.g. `llm_config.hidden_act`.
        key: String,
        /// What would have been accepted.
        expected: String,
        /// What the file says.
        got: String,
    },
}

impl ConfigError {
    /// An error about `key`.
    pub(crate) fn key(key: impl Into<String>, expected: impl Into<String>, got: impl Into<String>) -> Self {
        ConfigError::Key { key: key.into(), expected: expected.into(), got: shorten(got.into()) }
    }
}

/// Keeps error messages readable when a file holds garbage of any length.
fn shorten(text: String) -> String {
    const LIMIT: usize = 120;
    if text.chars().count() <= LIMIT {
        return text;
    }
    text.chars().take(LIMIT).chain("…".chars()).collect()
}
