//! Asks the engine and shows the answer as it comes.

use crate::interrupt;
use anyhow::Result;
use monolens_engine::{AnswerStats, Chat, Engine, Event, FinishReason, Settings};
use serde::Serialize;
use std::io::Write;

/// An answer and how it was made.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its text.
    pub text: String,
    /// Its ids.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub reason: FinishReason,
    /// Times and counts.
    pub stats: AnswerStats,
}

/// Lets the engine answer the last question of a conversation, and writes the text to `out` as it comes. Ctrl-C stops
/// the answer; the conversation keeps what was said.
///
/// # Errors
/// When the prompt does not fit, the device fails or `out` cannot be written to.
pub fn stream(
    engine: &mut Engine,
    chat: &mut Chat,
    settings: Settings,
    out: &mut dyn Write,
) -> Result<Answered> {
    let mut answer = engine.answer(chat, settings)?;
    let (mut text, mut ids) = (String::new(), Vec::new());
    let mut stopped = false;
    loop {
        if interrupt::happened() && !stopped {
            stopped = true;
            answer.stop();
        }
        match pollster::block_on(answer.next())? {
            Some(Event::Token { id, text: piece }) => {
                ids.push(id);
                show(&mut text, &piece, out)?;
            }
            Some(Event::Finished { reason, text: piece, stats }) => {
                show(&mut text, &piece, out)?;
                let text = text.trim_end().to_owned();
                return Ok(Answered { text, ids, reason, stats });
            }
            Some(Event::Prefill { done, total }) => log::debug!("prompt: {done} of {total} tokens"),
            Some(Event::Started { .. }) => {}
            None => anyhow::bail!("the engine gave no end of the answer"),
        }
    }
}

/// Appends a piece of the answer; space in front of the whole is left out, as in the official code.
fn show(text: &mut String, piece: &str, out: &mut dyn Write) -> Result<()> {
    let piece = if text.is_empty() { piece.trim_start() } else { piece };
    if !piece.is_empty() {
        text.push_str(piece);
        out.write_all(piece.as_bytes())?;
        out.flush()?;
    }
    Ok(())
}

/// Why an answer ended, as a word for scripts.
pub fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::EndOfAnswer => "end_of_answer",
        FinishReason::StopString => "stop_string",
        FinishReason::MaxTokens => "max_new_tokens",
        FinishReason::ContextFull => "context_full",
        FinishReason::Stopped => "stopped",
    }
}

/// Times and counts for scripts.
#[derive(Clone, Debug, Serialize)]
pub struct StatsJson {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Visual tokens among them.
    pub visual_tokens: usize,
    /// Prompt tokens that were reused.
    pub reused_tokens: usize,
    /// Tiles that were encoded.
    pub tiles_encoded: usize,
    /// Tokens of the answer.
    pub generated_tokens: usize,
    /// Seconds until the first token.
    pub time_to_first_token: f64,
    /// Prompt tokens a second.
    pub prefill_rate: f64,
    /// Tokens a second after the first.
    pub decode_rate: f64,
}

impl From<&AnswerStats> for StatsJson {
    fn from(s: &AnswerStats) -> Self {
        Self {
            prompt_tokens: s.prompt_tokens,
            visual_tokens: s.visual_tokens,
            reused_tokens: s.reused_tokens,
            tiles_encoded: s.tiles_encoded,
            generated_tokens: s.generated_tokens,
            time_to_first_token: s.time_to_first_token,
            prefill_rate: s.prefill_rate(),
            decode_rate: s.decode_rate(),
        }
    }
}

/// Times and counts in a line: what was asked, how fast it went, what was reused.
pub fn stats_line(s: &AnswerStats, tiles: usize) -> String {
    let images = match (s.visual_tokens, tiles) {
        (0, _) => String::new(),
        (visual, tiles) => format!(", {visual} visual of {tiles} tile{}", if tiles == 1 { "" } else { "s" }),
    };
    let reused = match s.reused_tokens {
        0 => String::new(),
        n => format!(", {n} reused, {} tiles encoded", s.tiles_encoded),
    };
    let speed = match s.decode_rate() {
        0.0 => String::new(),
        rate => format!(" at {rate:.1} tokens/s"),
    };
    format!(
        "first token after {:.2} s (prompt {} tokens{images}{reused}); {} tokens{speed}",
        s.time_to_first_token, s.prompt_tokens, s.generated_tokens
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stats_line_says_what_a_user_wants_to_know() {
        let stats = AnswerStats {
            prompt_tokens: 310,
            visual_tokens: 256,
            generated_tokens: 11,
            time_to_first_token: 0.5,
            decode_seconds: 2.0,
            ..AnswerStats::default()
        };
        let line = stats_line(&stats, 1);
        assert_eq!(
            line,
            "first token after 0.50 s (prompt 310 tokens, 256 visual of 1 tile); 11 tokens at 5.0 tokens/s"
        );
        let again = AnswerStats { reused_tokens: 300, ..stats };
        assert!(stats_line(&again, 1).contains("300 reused, 0 tiles encoded"));
    }

    #[test]
    fn space_in_front_of_the_answer_is_left_out() {
        let (mut text, mut out) = (String::new(), Vec::new());
        for piece in [" ", " a", " b "] {
            show(&mut text, piece, &mut out).unwrap();
        }
        assert_eq!((text.as_str(), out.as_slice()), ("a b ", b"a b ".as_slice()));
    }
}
