//! What the binary carries: a checkpoint, and images with questions.

use anyhow::{Context, Result, ensure};
use monolens_models::checkpoint::Checkpoint;
use monolens_models::config::{GenerationConfig, ModelConfig};
use monolens_models::tokenizer::{Tokenizer, TokenizerJson};
use monolens_models::{Model, ModelParts};
use serde::Deserialize;
use std::sync::Arc;

include!(concat!(env!("OUT_DIR"), "/bundled.rs"));

/// Name of the bundled checkpoint, for people.
pub const NAME: &str = if IS_STAND_IN { "bundled random stand-in" } else { "bundled mono-tiny" };

/// Its name for programs.
pub const SHORT_NAME: &str = if IS_STAND_IN { "random-stand-in" } else { "mono-tiny" };

fn find(files: &'static [(&str, &[u8])], name: &str) -> Option<&'static [u8]> {
    files.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// The bundled model.
///
/// # Errors
/// When this binary was built without one.
pub fn model() -> Result<Model> {
    ensure!(
        !CHECKPOINT.is_empty(),
        "no MODEL was given and this monolens was built without a checkpoint: name a model folder"
    );
    let file = |name: &str| find(CHECKPOINT, name);
    let needed = |name: &str| file(name).with_context(|| format!("the bundled checkpoint has no {name}"));
    let generation = file("generation_config.json").map(GenerationConfig::from_json).transpose()?;
    let files = TokenizerJson {
        added_tokens: file("added_tokens.json"),
        tokenizer_config: file("tokenizer_config.json"),
        special_tokens_map: file("special_tokens_map.json"),
    };
    let parts = ModelParts {
        config: ModelConfig::from_json(needed("config.json")?)?,
        generation: generation.unwrap_or_default(),
        tokenizer: Tokenizer::from_model(needed("tokenizer.model")?, &files)?,
        tensors: Arc::new(weights()?),
    };
    Ok(Model::from_parts(parts)?)
}

/// The files of the bundled checkpoint, by name.
pub fn files() -> &'static [(&'static str, &'static [u8])] {
    CHECKPOINT
}

fn weights() -> Result<Checkpoint> {
    if let Some(bytes) = find(CHECKPOINT, "model.safetensors") {
        return Ok(Checkpoint::from_static(bytes)?);
    }
    let shards = CHECKPOINT.iter().filter(|(name, _)| name.ends_with(".safetensors"));
    Ok(Checkpoint::from_shards(shards.map(|(name, bytes)| ((*name).to_owned(), Arc::from(*bytes))))?)
}

/// An image and what to ask about it.
#[derive(Clone, Debug)]
pub struct Example {
    /// File name.
    pub name: &'static str,
    /// Encoded image.
    pub bytes: &'static [u8],
    /// The question.
    pub question: String,
}

#[derive(Deserialize)]
struct Question {
    image: String,
    question: String,
}

/// Asked when nothing better is known.
pub const GENERAL_QUESTION: &str = "Please describe the image shortly.";

/// The bundled image and its question.
///
/// # Errors
/// When this binary was built without one.
pub fn example() -> Result<Example> {
    let image = EXAMPLES.iter().find(|(name, _)| !name.ends_with(".json"));
    let &(name, bytes) = image.context("this monolens was built without an example image: name an image")?;
    let questions = find(EXAMPLES, "questions.json").unwrap_or(b"[]");
    let questions: Vec<Question> = serde_json::from_slice(questions).unwrap_or_default();
    let known = questions.into_iter().find(|q| q.image == name).map(|q| q.question);
    Ok(Example { name, bytes, question: known.unwrap_or_else(|| GENERAL_QUESTION.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_whole() {
        let model = model().unwrap();
        assert!(model.config().num_image_token() > 0);
        let example = example().unwrap();
        assert!(!example.question.is_empty() && !example.bytes.is_empty());
    }
}
