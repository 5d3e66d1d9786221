//! A request while its answer is made: what was generated so far, as text, and when it ends.

use crate::event::{AnswerStats, Event, FinishReason};
use crate::sampling::{Seen, Settings};
use crate::stop::StopText;
use monolens_graph::batch::SamplingRow;
use monolens_models::tokenizer::{StreamDecoder, Tokenizer};
use web_time::Instant;

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Request {
    settings: Settings,
    seed: u64,
    seen: Seen,
    decoder: StreamDecoder,
    stop_text: StopText,
    stop_ids: Vec<u32>,
    submitted: Instant,
    first_token: Option<Instant>,
    /// Whether [`Event::Started`] was told.
    pub started: bool,
    /// Counts so far.
    pub stats: AnswerStats,
}

/// What a new token means.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The answer goes on.
    Token(Event),
    /// The answer ends; the token is not part of it.
    End(FinishReason),
    /// The answer ends with this token.
    Last(Event, FinishReason),
}

impl Request {
    /// A request for an answer; `model_stop_ids` are the model's own.
    pub fn new(
        mut settings: Settings,
        model_stop_ids: &[u32],
        prompt_tokens: usize,
        visual_tokens: usize,
    ) -> Self {
        let mut stop_ids = std::mem::take(&mut settings.stop_ids);
        if settings.use_model_stop_ids {
            stop_ids.extend(model_stop_ids);
        }
        Self {
            seed: settings.seed_or_random(),
            seen: Seen::default(),
            decoder: StreamDecoder::new(!settings.keep_tags),
            stop_text: StopText::new(std::mem::take(&mut settings.stop_strings)),
            stop_ids,
            submitted: Instant::now(),
            first_token: None,
            started: false,
            stats: AnswerStats { prompt_tokens, visual_tokens, ..AnswerStats::default() },
            settings,
        }
    }

    /// The settings for the next token.
    pub fn sampling(&self) -> SamplingRow {
        self.settings.row(self.seed, self.stats.generated_tokens)
    }

    /// The bits of the answer's ids, where the settings need them.
    pub fn seen(&self) -> &[u32] {
        if self.settings.repetition_penalty == 1.0 { &[] } else { self.seen.words() }
    }

    /// Takes a generated token. `room` is whether the context has room for another one.
    pub fn take(&mut self, id: u32, tokenizer: &Tokenizer, vocab: usize, room: bool) -> Outcome {
        let now = Instant::now();
        let first = *self.first_token.get_or_insert(now);
        self.stats.time_to_first_token = (first - self.submitted).as_secs_f64();
        self.stats.decode_seconds = (now - first).as_secs_f64();
        self.stats.generated_tokens += 1;
        if self.stop_ids.contains(&id) {
            return Outcome::End(FinishReason::EndOfAnswer);
        }
        self.seen.insert(id, vocab);
        let (text, stopped) = self.stop_text.push(&self.decoder.push(tokenizer, id));
        let event = Event::Token { id, text };
        if stopped {
            Outcome::Last(event, FinishReason::StopString)
        } else if self.stats.generated_tokens >= self.settings.max_new_tokens {
            Outcome::Last(event, FinishReason::MaxTokens)
        } else if !room {
            Outcome::Last(event, FinishReason::ContextFull)
        } else {
            Outcome::Token(event)
        }
    }

    /// The last event.
    pub fn finish(mut self, reason: FinishReason) -> Event {
        let mut text = String::new();
        if reason != FinishReason::StopString {
            let (certain, stopped) = self.stop_text.push(&self.decoder.finish());
            text = certain;
            if !stopped {
                text.push_str(&self.stop_text.finish());
            }
        }
        Event::Finished { reason, text, stats: self.stats }
    }
}
