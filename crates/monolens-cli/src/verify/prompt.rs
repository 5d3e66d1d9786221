//! Prompts as golden files write them.

use anyhow::{Result, ensure};
use monolens_models::prompt::{Conversation, IMAGE_PLACEHOLDER, Prompt};
use monolens_models::tokenizer::Tokenizer;

/// Longer prompts are no golden data.
pub const MAX_TOKENS: usize = 1 << 22;

/// A prompt and how golden files show it.
pub struct Built {
    /// The text with images written out, runs of placeholders as `<IMG_CONTEXT*n>`.
    pub text: String,
    /// The ids.
    pub ids: Vec<u32>,
    /// 1 where an id is a visual token.
    pub mask: Vec<u8>,
}

/// Builds the prompt of a case.
///
/// # Errors
/// When placeholders and images do not match.
pub fn build(
    question: &str,
    history: &[(String, String)],
    tiles: &[usize],
    tokens_per_tile: usize,
    tokenizer: &Tokenizer,
) -> Result<Built> {
    let visual = tiles.iter().try_fold(0usize, |sum, t| sum.checked_add(*t));
    let visual = visual.and_then(|tiles| tiles.checked_mul(tokens_per_tile));
    ensure!(
        visual.is_some_and(|n| n <= MAX_TOKENS),
        "expected at most {MAX_TOKENS} visual tokens, got {tiles:?} tiles of {tokens_per_tile}"
    );
    let mut conversation = Conversation::new();
    for (question, answer) in history {
        conversation.push(question.as_str(), answer.as_str());
    }
    let prompt = Prompt::build(tokenizer, &conversation, question, tiles, tokens_per_tile)?;
    let mut stretches = prompt.text.split(IMAGE_PLACEHOLDER);
    let mut text = stretches.next().unwrap_or_default().to_owned();
    for (stretch, &count) in stretches.zip(tiles) {
        let tile = format!("<IMG_CONTEXT*{tokens_per_tile}>");
        text.push_str(&format!("<img>{}</img>{stretch}", tile.repeat(count)));
    }
    let mask = (0..prompt.ids.len()).map(|n| u8::from(prompt.is_visual(n))).collect();
    Ok(Built { text, ids: prompt.ids, mask })
}
