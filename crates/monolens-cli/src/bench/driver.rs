//! An engine that is given made-up prompts, step by step.

use crate::bundled;
use crate::photos::{self, Photo};
use anyhow::{Context, Result};
use monolens_engine::{Chat, Engine, Event, Image, Prompt, RequestId, Settings, TileOptions};
use monolens_models::random::SplitMix;
use std::time::Instant;

/// An engine under measurement.
pub struct Driver {
    /// The engine.
    pub engine: Engine,
}

/// What a step did.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// How long it took.
    pub seconds: f64,
    /// Tokens that it made.
    pub tokens: usize,
    /// Whether it read some of a prompt.
    pub reads: bool,
}

/// A prompt about an image.
#[derive(Clone, Debug)]
pub struct ImagePrompt {
    /// The prompt.
    pub prompt: Prompt,
    /// Tiles of the image.
    pub tiles: usize,
    /// Tokens that are visual.
    pub visual: usize,
}

impl Driver {
    /// Ids that are neither image placeholders nor ends; each seed gives others.
    pub fn ids(&self, count: usize, seed: u64) -> Vec<u32> {
        let mut rng = SplitMix::new(seed);
        // The special tokens are the last of a vocabulary, the bytes its first.
        let most = self.engine.model().tokenizer().vocab_size().saturating_sub(64).max(260);
        (0..count).map(|_| 259 + rng.below(most - 259) as u32).collect()
    }

    /// A prompt of such ids.
    pub fn text(&self, count: usize, seed: u64) -> Prompt {
        Prompt { ids: self.ids(count, seed), images: Vec::new() }
    }

    /// The bundled image in at most so many tiles, and so many more tokens of text. Each number gives an image that is
    /// another one to the prefix cache.
    ///
    /// # Errors
    /// An image that the model cannot take.
    pub fn image(&self, tiles: usize, text: usize, number: u8) -> Result<ImagePrompt> {
        let example = bundled::example()?;
        // A thumbnail comes to what is cut into more than one.
        let photo = Photo::decode(example.name, example.bytes)?.brighter(number)?;
        let photo = photo.side_by_side(tiles.max(2) - 1)?;
        let options = TileOptions { max_tiles: Some(tiles), budget: None };
        let (images, _) = photos::tile(self.engine.model(), &[photo], &options)?;
        let tiles: usize = images.iter().map(|i: &Image| i.tiles().count()).sum();
        let mut chat = Chat::new();
        chat.ask("?", images);
        let mut prompt = self.engine.prompt(&chat).context("the prompt of an image")?;
        prompt.ids.extend(self.ids(text, 5));
        Ok(ImagePrompt { prompt, tiles, visual: tiles * self.engine.model().config().num_image_token() })
    }

    /// Asks for an answer of exactly so many tokens.
    ///
    /// # Errors
    /// A prompt that does not fit.
    pub fn submit(&mut self, prompt: Prompt, tokens: usize) -> Result<RequestId> {
        let settings = Settings { use_model_stop_ids: false, ..Settings::greedy(tokens) };
        Ok(self.engine.submit(prompt, settings)?)
    }

    /// One step.
    ///
    /// # Errors
    /// Those of the device.
    pub fn step(&mut self) -> Result<Step> {
        let start = Instant::now();
        let events = pollster::block_on(self.engine.step())?;
        let mut step = Step { seconds: start.elapsed().as_secs_f64(), tokens: 0, reads: false };
        for (_, event) in events {
            match event? {
                Event::Token { .. } => step.tokens += 1,
                Event::Prefill { .. } => step.reads = true,
                Event::Started { .. } | Event::Finished { .. } => {}
            }
        }
        Ok(step)
    }

    /// Reads a prompt and makes one token; seconds from the request to it.
    ///
    /// # Errors
    /// A prompt that does not fit; errors of the device.
    pub fn read(&mut self, prompt: Prompt) -> Result<f64> {
        self.read_together(vec![prompt])
    }

    /// Reads prompts that are asked for at once; seconds to the first token, the mean of them.
    ///
    /// # Errors
    /// A prompt that does not fit; errors of the device.
    pub fn read_together(&mut self, prompts: Vec<Prompt>) -> Result<f64> {
        let (start, count) = (Instant::now(), prompts.len());
        for prompt in prompts {
            self.submit(prompt, 1)?;
        }
        let mut sum = 0.0;
        while self.engine.is_busy() {
            let made = self.step()?.tokens;
            sum += made as f64 * start.elapsed().as_secs_f64();
        }
        Ok(sum / count.max(1) as f64)
    }
}
