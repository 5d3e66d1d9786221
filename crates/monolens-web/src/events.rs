//! Events of an answer on their way to JavaScript.

use crate::border::{self, AnswerEvent, AnswerStats, Grounded};
use crate::failure::Failure;
use monolens_engine::{Event, FinishReason, RequestId};
use monolens_models::grounding::parse_grounding;
use monolens_models::tokenizer::Tokenizer;
use std::collections::VecDeque;
use wasm_bindgen::JsValue;

/// An answer in the making.
#[derive(Default)]
pub(crate) struct Answer {
    /// In the engine, once it is submitted.
    pub id: Option<RequestId>,
    /// Tokens so far.
    pub ids: Vec<u32>,
    events: VecDeque<Result<Event, Failure>>,
}

impl Answer {
    /// Notes an event.
    pub fn push(&mut self, event: Result<Event, Failure>) {
        if let Ok(Event::Token { id, .. }) = &event {
            self.ids.push(*id);
        }
        self.events.push_back(event);
    }

    /// The oldest event that nobody took.
    pub fn take(&mut self) -> Option<Result<Event, Failure>> {
        self.events.pop_front()
    }

    /// Whether there is no event to take.
    pub fn is_waiting(&self) -> bool {
        self.events.is_empty()
    }
}

/// An event as JavaScript has it. `ids` are all tokens of the answer, for its last event.
pub(crate) fn js_event(event: Event, ids: &[u32], tokenizer: &Tokenizer) -> Result<JsValue, Failure> {
    border::to_js(&match event {
        Event::Started { prompt_tokens, visual_tokens, reused_tokens, tiles_to_encode } => {
            AnswerEvent::Started { prompt_tokens, visual_tokens, reused_tokens, tiles_to_encode }
        }
        Event::Prefill { done, total } => AnswerEvent::Prefill { done, total },
        Event::Token { id, text } => AnswerEvent::Token { id, text },
        Event::Finished { reason, text, stats } => AnswerEvent::Finished {
            reason: reason_name(reason),
            text,
            stats: AnswerStats {
                prompt_tokens: stats.prompt_tokens,
                visual_tokens: stats.visual_tokens,
                reused_tokens: stats.reused_tokens,
                prefilled_tokens: stats.prefilled_tokens,
                tiles_encoded: stats.tiles_encoded,
                generated_tokens: stats.generated_tokens,
                time_to_first_token: stats.time_to_first_token,
                decode_seconds: stats.decode_seconds,
            },
            // Read from the ids, because the text may be without its tags.
            grounding: parse_grounding(&tokenizer.decode_raw(ids, false)).into_iter().map(grounded).collect(),
        },
    })
}

fn grounded(found: monolens_models::grounding::Grounded) -> Grounded {
    let boxes = found.boxes.iter().map(|b| [b.x1, b.y1, b.x2, b.y2]).collect();
    Grounded { phrase: found.phrase, boxes }
}

fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::EndOfAnswer => "stop",
        FinishReason::StopString => "stop-string",
        FinishReason::MaxTokens => "max-tokens",
        FinishReason::ContextFull => "context-full",
        FinishReason::Stopped => "stopped",
    }
}
