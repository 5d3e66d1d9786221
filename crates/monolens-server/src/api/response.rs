//! What the server says: answers, pieces of answers, the list of models.

use monolens_engine::AnswerStats;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Counts of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    prompt_tokens: usize,
    completion_tokens: usize,
    total_tokens: usize,
    prompt_tokens_details: PromptDetails,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct PromptDetails {
    /// Reused from earlier prompts.
    cached_tokens: usize,
    /// Visual tokens.
    image_tokens: usize,
}

impl From<&AnswerStats> for Usage {
    fn from(stats: &AnswerStats) -> Self {
        Self {
            prompt_tokens: stats.prompt_tokens,
            completion_tokens: stats.generated_tokens,
            total_tokens: stats.prompt_tokens + stats.generated_tokens,
            prompt_tokens_details: PromptDetails {
                // What was lost with a device or given back is computed again, but was not asked for twice.
                cached_tokens: stats.reused_tokens.min(stats.prompt_tokens),
                image_tokens: stats.visual_tokens,
            },
        }
    }
}

/// A whole answer.
#[derive(Debug, Serialize)]
pub(crate) struct Completion<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice<'a>; 1],
    usage: Usage,
}

#[derive(Debug, Serialize)]
struct Choice<'a> {
    index: u32,
    message: Said<'a>,
    logprobs: Option<()>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
struct Said<'a> {
    role: &'static str,
    content: &'a str,
    refusal: Option<()>,
}

impl<'a> Completion<'a> {
    /// An answer of `model`.
    pub fn new(id: &'a str, model: &'a str, content: &'a str, reason: &'static str, usage: Usage) -> Self {
        let message = Said { role: "assistant", content, refusal: None };
        let choices = [Choice { index: 0, message, logprobs: None, finish_reason: reason }];
        Self { id, object: "chat.completion", created: now(), model, choices, usage }
    }
}

/// A piece of a streamed answer.
#[derive(Debug, Serialize)]
pub(crate) struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<ChunkChoice<'a>>,
    /// Absent unless the client wants counts; then null in every piece but the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Debug, Serialize)]
struct ChunkChoice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

/// What a piece adds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Delta<'a> {
    /// In the first piece: who speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// More text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a str>,
}

impl<'a> Chunk<'a> {
    /// A piece with more text, or the end.
    pub fn of(
        (id, model, created): (&'a str, &'a str, u64),
        delta: Delta<'a>,
        finish_reason: Option<&'static str>,
        with_usage: bool,
    ) -> Self {
        let choices = vec![ChunkChoice { index: 0, delta, logprobs: None, finish_reason }];
        let usage = with_usage.then_some(None);
        Self { id, object: "chat.completion.chunk", created, model, choices, usage }
    }

    /// The counts, after the end.
    pub fn usage((id, model, created): (&'a str, &'a str, u64), usage: Usage) -> Self {
        let usage = Some(Some(usage));
        Self { id, object: "chat.completion.chunk", created, model, choices: Vec::new(), usage }
    }
}

/// A model that is served.
#[derive(Debug, Serialize)]
pub(crate) struct ModelEntry<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    /// Tokens of a conversation (vLLM's extension).
    max_model_len: usize,
}

impl<'a> ModelEntry<'a> {
    /// A model of this name.
    pub fn new(id: &'a str, created: u64, context: usize) -> Self {
        Self { id, object: "model", created, owned_by: "monolens", max_model_len: context }
    }
}

/// All models that are served.
#[derive(Debug, Serialize)]
pub(crate) struct ModelList<'a> {
    object: &'static str,
    data: [ModelEntry<'a>; 1],
}

impl<'a> ModelList<'a> {
    /// The list of the one.
    pub fn new(model: ModelEntry<'a>) -> Self {
        Self { object: "list", data: [model] }
    }
}
