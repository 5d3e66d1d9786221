//! Answers piece by piece, as server-sent events.

use super::chat::is_whole;
use crate::api::{Chunk, Delta, Usage, now};
use crate::state::{Shared, Update};
use crate::text::Trimmed;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use monolens_engine::Event;
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use tokio::sync::mpsc;

/// Told to proxies, so that they pass pieces on at once.
const NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// The response to a request of this id and model.
pub(crate) fn respond(
    (id, model): (String, String),
    told: mpsc::UnboundedReceiver<Update>,
    text: Trimmed,
    include_usage: bool,
) -> Response {
    let mut pieces =
        Pieces { id, model, created: now(), told, text, include_usage, ready: VecDeque::new(), ended: false };
    pieces.say(Delta { role: Some("assistant"), content: Some("") }, None);
    let events =
        unfold(pieces, |mut pieces| async move { Some((Ok::<_, Infallible>(pieces.next().await?), pieces)) });
    ([NO_BUFFERING], Sse::new(events).keep_alive(KeepAlive::default())).into_response()
}

struct Pieces {
    id: String,
    model: String,
    created: u64,
    told: mpsc::UnboundedReceiver<Update>,
    text: Trimmed,
    include_usage: bool,
    /// Events that are not sent yet.
    ready: VecDeque<sse::Event>,
    ended: bool,
}

impl Pieces {
    async fn next(&mut self) -> Option<sse::Event> {
        while self.ready.is_empty() && !self.ended {
            match self.told.recv().await {
                Some(Update::Event(event)) => self.event(event),
                Some(Update::Failed(error)) => self.end(error.json().to_string()),
                Some(Update::Accepted) => {}
                None => self.end(Shared::stopped().json().to_string()),
            }
        }
        self.ready.pop_front()
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Token { text, .. } => {
                let text = self.text.push(&text);
                self.more(&text);
            }
            Event::Finished { reason, text, stats } => {
                let text = self.text.push(&text) + &self.text.finish(is_whole(reason));
                self.more(&text);
                self.say(Delta::default(), Some(reason.openai()));
                if self.include_usage {
                    let usage = json(&Chunk::usage(self.head(), Usage::from(&stats)));
                    self.ready.push_back(usage);
                }
                self.end("[DONE]".to_owned());
            }
            Event::Started { .. } | Event::Prefill { .. } => {}
        }
    }

    fn head(&self) -> (&str, &str, u64) {
        (&self.id, &self.model, self.created)
    }

    fn more(&mut self, text: &str) {
        if !text.is_empty() {
            self.say(Delta { role: None, content: Some(text) }, None);
        }
    }

    fn say(&mut self, delta: Delta<'_>, reason: Option<&'static str>) {
        let chunk = json(&Chunk::of(self.head(), delta, reason, self.include_usage));
        self.ready.push_back(chunk);
    }

    fn end(&mut self, data: String) {
        self.ready.push_back(sse::Event::default().data(data));
        self.ended = true;
    }
}

/// A chunk has only texts and numbers, which JSON can always hold.
fn json(chunk: &impl Serialize) -> sse::Event {
    sse::Event::default().data(serde_json::to_string(chunk).unwrap_or_default())
}
