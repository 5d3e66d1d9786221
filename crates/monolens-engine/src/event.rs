//! What a running answer tells its listener.

/// Names a request of an [`crate::Engine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// One thing that happened to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The request was admitted; its prefill begins.
    Started {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// How many of them are visual.
        visual_tokens: usize,
        /// Tokens whose keys and values were still there from earlier prompts.
        reused_tokens: usize,
        /// Tiles that have to go through the vision part as far as known now; 0 when all are reused.
        tiles_to_encode: usize,
    },
    /// A step of the prefill is done.
    Prefill {
        /// Prompt tokens done, reused ones included.
        done: usize,
        /// Prompt tokens.
        total: usize,
    },
    /// A token of the answer.
    Token {
        /// Its id.
        id: u32,
        /// The text that became certain with it: often a word, sometimes nothing (an incomplete character, or what
        /// may become a stop string).
        text: String,
    },
    /// The last event.
    Finished {
        /// Why the answer ended.
        reason: FinishReason,
        /// Text that had been held back.
        text: String,
        /// Times and counts.
        stats: AnswerStats,
    },
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended it with a stop id.
    EndOfAnswer,
    /// A stop string came.
    StopString,
    /// `max_new_tokens` were generated.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// [`crate::Engine::stop`] was called.
    Stopped,
}

impl FinishReason {
    /// OpenAI's name for it.
    pub fn openai(self) -> &'static str {
        match self {
            Self::EndOfAnswer | Self::StopString | Self::Stopped => "stop",
            Self::MaxTokens | Self::ContextFull => "length",
        }
    }
}

/// Times and counts of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AnswerStats {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of them are visual.
    pub visual_tokens: usize,
    /// Prompt tokens that were reused instead of computed.
    pub reused_tokens: usize,
    /// Rows that were computed to read the prompt; after a preemption or a lost device some are computed again.
    pub prefilled_tokens: usize,
    /// Tiles that went through the vision part for this answer.
    pub tiles_encoded: usize,
    /// Tokens generated, a stop id included.
    pub generated_tokens: usize,
    /// Seconds from the request to the first token: waiting, vision and prefill.
    pub time_to_first_token: f64,
    /// Seconds from the first token to the last.
    pub decode_seconds: f64,
}

impl AnswerStats {
    /// Computed prompt tokens a second, until the first token.
    pub fn prefill_rate(&self) -> f64 {
        rate(self.prefilled_tokens, self.time_to_first_token)
    }

    /// Tokens a second after the first.
    pub fn decode_rate(&self) -> f64 {
        rate(self.generated_tokens.saturating_sub(1), self.decode_seconds)
    }
}

fn rate(count: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
