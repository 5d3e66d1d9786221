//! Conversation → token ids, with one placeholder id per visual token (spec §5, §10).

mod conversation;
mod error;
mod place;
#[cfg(test)]
mod tests;

pub use conversation::{Conversation, IMAGE_PLACEHOLDER, Part, SYSTEM_MESSAGE, Turn};
pub use error::PromptError;
pub use place::{frame_indices, place_frames, place_images, place_images_official};

use crate::tokenizer::Tokenizer;
use std::ops::Range;

/// A prompt ready for the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The text, images as `<image>`.
    pub text: String,
    /// Token ids, begin-of-sequence first, visual tokens as `<IMG_CONTEXT>`.
    pub ids: Vec<u32>,
    /// For each image, the rows of `ids` that its visual tokens take.
    pub images: Vec<Range<usize>>,
}

impl Prompt {
    /// Builds the prompt that asks `question` after `conversation`.
    ///
    /// `tiles` holds the number of tiles of each image, in the order of the `<image>` placeholders
    /// in history and question; see [`place_images`] for questions without placeholders.
    ///
    /// # Errors
    /// [`PromptError`]: an empty question, placeholders that do not match the images, a text with
    /// `<IMG_CONTEXT>` in it.
    pub fn build(
        tokenizer: &Tokenizer,
        conversation: &Conversation,
        question: &str,
        tiles: &[usize],
        tokens_per_tile: usize,
    ) -> Result<Self, PromptError> {
        if question.trim().is_empty() {
            return Err(PromptError::Empty);
        }
        Self::from_parts(tokenizer, conversation.prompt(question), tiles, tokens_per_tile)
    }

    /// Builds a prompt from its whole text (any template), images as `<image>`.
    ///
    /// # Errors
    /// As [`Prompt::build`].
    pub fn from_text(
        tokenizer: &Tokenizer,
        text: String,
        tiles: &[usize],
        tokens_per_tile: usize,
    ) -> Result<Self, PromptError> {
        Self::from_parts(tokenizer, vec![Part::Text(text)], tiles, tokens_per_tile)
    }

    /// Builds a prompt from its parts in order.
    ///
    /// # Errors
    /// As [`Prompt::build`].
    pub fn from_parts(
        tokenizer: &Tokenizer,
        parts: Vec<Part>,
        tiles: &[usize],
        tokens_per_tile: usize,
    ) -> Result<Self, PromptError> {
        let marks = |part: &Part| match part {
            Part::Text(text) => text.matches(IMAGE_PLACEHOLDER).count(),
            Part::Ids(_) => 0,
        };
        let placeholders = parts.iter().map(marks).sum();
        if placeholders != tiles.len() {
            return Err(PromptError::Placeholders { images: tiles.len(), placeholders });
        }
        let special = tokenizer.special();
        let mut text = String::new();
        let mut ids = vec![special.bos];
        let mut images = Vec::with_capacity(tiles.len());
        for part in parts {
            let stretch = match part {
                Part::Text(stretch) => stretch,
                Part::Ids(own) => {
                    text.push_str(&tokenizer.decode_raw(&own, false));
                    ids.extend(own);
                    continue;
                }
            };
            // `<img>` and `</img>` are matched before anything else, so encoding the stretches between
            // the images one by one gives the ids of the whole text.
            for (i, stretch) in stretch.split(IMAGE_PLACEHOLDER).enumerate() {
                if i > 0 {
                    ids.push(special.img_start);
                    let start = ids.len();
                    ids.resize(start + tiles[images.len()] * tokens_per_tile, special.img_context);
                    images.push(start..ids.len());
                    ids.push(special.img_end);
                }
                tokenizer.encode_into(stretch, &mut ids)?;
            }
            text.push_str(&stretch);
        }
        let expected = tiles.iter().sum::<usize>() * tokens_per_tile;
        let got = ids.iter().filter(|&&id| id == special.img_context).count();
        if got != expected {
            return Err(PromptError::ContextTokens { expected, got });
        }
        Ok(Prompt { text, ids, images })
    }

    /// Number of visual tokens.
    pub fn visual_tokens(&self) -> usize {
        self.images.iter().map(Range::len).sum()
    }

    /// Whether row `n` is a visual token: the routing mask (spec §5).
    pub fn is_visual(&self, n: usize) -> bool {
        self.images.iter().any(|rows| rows.contains(&n))
    }
}
