//! A model from a folder in the Hugging Face layout.

use super::{Model, ModelError, ModelParts};
use crate::checkpoint::Checkpoint;
use crate::config::{GenerationConfig, MAX_CONFIG_BYTES, ModelConfig};
use crate::files::read_limited;
use crate::tokenizer::Tokenizer;
use std::io;
use std::path::Path;
use std::sync::Arc;

impl Model {
    /// Opens `config.json`, `generation_config.json` (optional), the tokenizer and the weights.
    ///
    /// # Errors
    /// [`ModelError`]: a missing, unreadable or malformed file, or parts that do not fit.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        Self::open_with(folder, |_| {})
    }

    /// As [`Model::open`], with a chance to change the configuration before the rest is read.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_with(folder: &Path, change: impl FnOnce(&mut ModelConfig)) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let json = read_limited(&path, MAX_CONFIG_BYTES).map_err(|error| fail(&path, error))?;
        let mut config = ModelConfig::from_json(&json)?;
        change(&mut config);
        let path = folder.join("generation_config.json");
        let generation = match read_limited(&path, MAX_CONFIG_BYTES) {
            Ok(json) => GenerationConfig::from_json(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => GenerationConfig::default(),
            Err(error) => return Err(fail(&path, error)),
        };
        Self::from_parts(ModelParts {
            config,
            generation,
            tokenizer: Tokenizer::open(folder)?,
            tensors: Arc::new(Checkpoint::open(folder)?),
        })
    }
}

fn fail(path: &Path, source: io::Error) -> ModelError {
    ModelError::Io { file: path.display().to_string(), source }
}
