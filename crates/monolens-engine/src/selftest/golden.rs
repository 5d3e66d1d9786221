//! A small model of the official code, and prompts whose greedy answers are known.

use crate::{Engine, EngineError, EngineOptions, Event, Images, Prompt, Settings, TileOptions};
use monolens_graph::DType;
use monolens_models::image::DecodeOptions;
use serde::Deserialize;

/// `selftest.json`, beside the model.
#[derive(Clone, Debug, Deserialize)]
pub struct Golden {
    /// What is asked.
    pub cases: Vec<Case>,
}

/// A prompt and the official code's greedy answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// For people.
    pub name: String,
    /// The prompt's text, images as `<image>`.
    pub prompt: String,
    /// Its images.
    pub images: Vec<CaseImage>,
    /// The answer's ids.
    pub generated: Vec<u32>,
}

/// An image of a prompt.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseImage {
    /// The file's name, beside the model.
    pub file: String,
    /// Tiles at most.
    pub max_tiles: usize,
}

impl Golden {
    /// Options of the engine that is asked: the official code's keys and values are f32.
    pub fn options() -> EngineOptions {
        EngineOptions { kv_dtype: Some(DType::F32), chunk: 64, ..EngineOptions::default() }
    }
}

impl Case {
    /// The greedy ids of an engine that holds the model, for `images` in the order of the case. After each step `turn` is
    /// awaited: somebody else may be waiting.
    ///
    /// # Errors
    /// Files that are no images, or what the device says.
    pub async fn answer(
        &self,
        engine: &mut Engine,
        images: &[Vec<u8>],
        turn: impl AsyncFn(),
    ) -> Result<Vec<u32>, EngineError> {
        let mut cut = Vec::new();
        for (image, bytes) in self.images.iter().zip(images) {
            let tiles = TileOptions { max_tiles: Some(image.max_tiles), ..TileOptions::default() };
            cut.extend(
                Images::new(engine.model(), &[bytes.as_slice()], &tiles, &DecodeOptions::default())?.images,
            );
        }
        let prompt = Prompt::of_text(engine.model(), self.prompt.clone(), cut)?;
        let settings = Settings { use_model_stop_ids: false, ..Settings::greedy(self.generated.len()) };
        let id = engine.submit(prompt, settings)?;
        let mut got = Vec::with_capacity(self.generated.len());
        while let Some(event) = engine.next_event(id).await? {
            turn().await;
            if let Event::Token { id, .. } = event {
                got.push(id);
            }
        }
        Ok(got)
    }
}
