//! The small golden model, in this binary.

use super::golden::Golden;
use monolens_models::checkpoint::Checkpoint;
use monolens_models::config::{GenerationConfig, ModelConfig};
use monolens_models::tokenizer::{Tokenizer, TokenizerJson};
use monolens_models::{Model, ModelError, ModelParts};
use std::sync::Arc;

macro_rules! file {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/", $name)) as &[u8]
    };
}

const IMAGES: [(&str, &[u8]); 1] =
    [("wide_1024x300.jpg.decoded.png", file!("images/wide_1024x300.jpg.decoded.png"))];

/// What is asked of the model.
///
/// # Errors
/// A description that is none, which tests exclude.
pub fn golden() -> Result<Golden, serde_json::Error> {
    serde_json::from_slice(file!("mono-v1/bf16/selftest.json"))
}

/// An image by its name.
pub fn image(name: &str) -> Option<&'static [u8]> {
    IMAGES.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes)
}

/// The model.
///
/// # Errors
/// Files that do not fit one another, which tests exclude.
pub fn model() -> Result<Arc<Model>, ModelError> {
    let json = TokenizerJson {
        added_tokens: Some(file!("mono-v1/bf16/added_tokens.json")),
        tokenizer_config: Some(file!("mono-v1/bf16/tokenizer_config.json")),
        special_tokens_map: Some(file!("mono-v1/bf16/special_tokens_map.json")),
    };
    let parts = ModelParts {
        config: ModelConfig::from_json(file!("mono-v1/bf16/config.json"))?,
        generation: GenerationConfig::from_json(file!("mono-v1/bf16/generation_config.json"))?,
        tokenizer: Tokenizer::from_model(file!("mono-v1/bf16/tokenizer.model"), &json)?,
        tensors: Arc::new(Checkpoint::from_static(file!("mono-v1/bf16/model.safetensors"))?),
    };
    Ok(Arc::new(Model::from_parts(parts)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn every_image_of_the_description_is_in_the_binary() {
        let golden = golden().unwrap();
        assert!(!golden.cases.is_empty());
        let images = golden.cases.iter().flat_map(|case| &case.images);
        images.for_each(|found| assert!(image(&found.file).is_some(), "{}", found.file));
        model().unwrap();
    }

    /// The description says what the golden data say.
    #[test]
    fn the_description_is_that_of_the_golden_data() {
        let all: Value = serde_json::from_slice(file!("mono-v1/golden.json")).unwrap();
        let variant = &all["variants"]["bf16_weights"];
        let [case] = &golden().unwrap().cases[..] else { panic!("one case") };
        assert_eq!(case.name, variant["case"]);
        assert_eq!(serde_json::to_value(&case.generated).unwrap(), variant["generated"]);
        let official = &all["cases"][&case.name];
        // Each image's tokens are written out there.
        let mut parts = official["prompt"].as_str().unwrap().split("<img>");
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.map(|part| format!("<image>{}", part.split_once("</img>").unwrap().1));
        assert_eq!(case.prompt, first + &rest.collect::<String>());
        for (image, known) in case.images.iter().zip(official["images"].as_array().unwrap()) {
            assert_eq!(
                (&image.file[..], image.max_tiles as u64),
                (known["file"].as_str().unwrap(), known["max_num"].as_u64().unwrap())
            );
        }
    }
}
