//! `POST /v1/chat/completions`: the request.

use super::ApiError;
use super::content::Content;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// The fields that are understood; others are ignored. Absent and `null` are the same.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ChatRequest {
    /// Which model; the one that is served if none is named.
    pub model: Option<String>,
    /// The conversation.
    pub messages: Vec<Message>,
    /// Whether the answer comes piece by piece.
    pub stream: Option<bool>,
    /// How it comes then.
    pub stream_options: Option<StreamOptions>,
    /// Longest answer (old name).
    pub max_tokens: Option<u64>,
    /// Longest answer.
    pub max_completion_tokens: Option<u64>,
    /// 0 is greedy.
    pub temperature: Option<f32>,
    /// Candidates by probability mass.
    pub top_p: Option<f32>,
    /// Candidates by rank (vLLM's extension); 0 and -1 keep all.
    pub top_k: Option<i64>,
    /// Divides the logits of tokens the answer has already (vLLM's extension).
    pub repetition_penalty: Option<f32>,
    /// Same seed, same answer.
    pub seed: Option<i64>,
    /// Texts that end the answer.
    pub stop: Option<Stop>,
    /// Whether `<ref>` and `<box>` are left out of the text (vLLM's extension); they are unless this is false.
    pub skip_special_tokens: Option<bool>,
    /// Answers wanted: one.
    pub n: Option<u64>,

    // What cannot be done, so that nobody believes it was.
    tools: Option<Vec<IgnoredAny>>,
    functions: Option<Vec<IgnoredAny>>,
    response_format: Option<ResponseFormat>,
    logprobs: Option<bool>,
    logit_bias: Option<BTreeMap<String, IgnoredAny>>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
}

/// A message.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Message {
    /// `system`, `developer`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub content: Option<Content>,
}

/// Options of a streamed answer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct StreamOptions {
    /// Whether the counts come at the end.
    pub include_usage: Option<bool>,
}

/// One text or several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum Stop {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

#[derive(Clone, Debug, Deserialize)]
struct ResponseFormat {
    r#type: String,
}

impl ChatRequest {
    /// Reads a request's body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "the request is no JSON object"));
        }
        let mut json = serde_json::Deserializer::from_slice(body);
        let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            match inner.is_data() && path != "." {
                true => ApiError::field(path, inner),
                false => not_json(&inner),
            }
        })?;
        json.end().map_err(|error| not_json(&error))?;
        Ok(parsed)
    }

    /// Refuses what would change the answer and cannot be done.
    pub fn check_supported(&self) -> Result<(), ApiError> {
        let some = |list: &Option<Vec<IgnoredAny>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let format = self.response_format.as_ref().map_or("text", |format| format.r#type.as_str());
        let n = self.n.unwrap_or(1);
        let unsupported = [
            (n != 1, "n", format!("expected 1 (one answer a request), got {n}")),
            (some(&self.tools), "tools", "the model calls no tools".to_owned()),
            (some(&self.functions), "functions", "the model calls no functions".to_owned()),
            (format != "text", "response_format", format!("expected text, got {format}")),
            (self.logprobs == Some(true), "logprobs", "probabilities are not given".to_owned()),
            (
                self.logit_bias.as_ref().is_some_and(|bias| !bias.is_empty()),
                "logit_bias",
                "not supported".to_owned(),
            ),
            (is_set(self.frequency_penalty), "frequency_penalty", PENALTY.to_owned()),
            (is_set(self.presence_penalty), "presence_penalty", PENALTY.to_owned()),
        ];
        match unsupported.into_iter().find(|(wrong, ..)| *wrong) {
            Some((_, param, why)) => Err(ApiError::field(param, why).code("unsupported_parameter")),
            None => Ok(()),
        }
    }
}

const PENALTY: &str = "expected 0; repetition_penalty is supported";

fn is_set(penalty: Option<f32>) -> bool {
    penalty.is_some_and(|penalty| penalty != 0.0)
}

fn not_json(error: &serde_json::Error) -> ApiError {
    let what = if error.is_data() { "the request" } else { "the request is no JSON" };
    ApiError::new(StatusCode::BAD_REQUEST, format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ImageUrl;

    fn error(body: &str) -> ApiError {
        let parsed = ChatRequest::parse(body.as_bytes());
        parsed.and_then(|request| request.check_supported()).unwrap_err()
    }

    #[test]
    fn a_request_is_read() {
        let body = r#"{"model": "m", "user": "ignored", "seed": null, "stop": ["a", "b"], "messages": [
            {"role": "user", "name": "n", "content": [{"type": "text", "text": "what?"},
             {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}}]}]}"#;
        let request = ChatRequest::parse(body.as_bytes()).unwrap();
        request.check_supported().unwrap();
        assert_eq!(request.seed, None);
        let Some(Content::Parts(parts)) = &request.messages[0].content else { panic!("{request:?}") };
        assert_eq!(parts[0].text.as_deref(), Some("what?"));
        let image = ImageUrl { url: "data:,".into(), detail: Some("low".into()) };
        assert_eq!(parts[1].image_url, Some(image));
    }

    #[test]
    fn wrong_types_name_the_field() {
        let message = |message: &str| format!(r#"{{"messages": [{message}]}}"#);
        for (body, param) in [
            (r#"{"messages": 5}"#.to_owned(), "messages"),
            (r#"{"messages": [], "temperature": "hot"}"#.to_owned(), "temperature"),
            (r#"{"messages": [], "max_tokens": -1}"#.to_owned(), "max_tokens"),
            (r#"{"messages": [], "max_tokens": 1.5}"#.to_owned(), "max_tokens"),
            (r#"{"messages": [], "stream": 1}"#.to_owned(), "stream"),
            (r#"{"messages": [], "stop": 7}"#.to_owned(), "stop"),
            (r#"{"messages": [], "n": 2}"#.to_owned(), "n"),
            (r#"{"messages": [], "tools": [{}]}"#.to_owned(), "tools"),
            (r#"{"messages": [], "response_format": {"type": "json_object"}}"#.to_owned(), "response_format"),
            (message(r#"{"role": 1}"#), "messages[0].role"),
            (message(r#"{"role": "user", "content": 5}"#), "messages[0].content"),
            (message(r#"{"role": "user", "content": [7]}"#), "messages[0].content[0]"),
            (
                message(r#"{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 3}}]}"#),
                "messages[0].content[0].image_url.url",
            ),
        ] {
            let error = error(&body);
            assert_eq!(error.param.as_deref(), Some(param), "{body}: {error:?}");
            assert!(error.message.starts_with(param), "{error:?}");
        }
    }

    #[test]
    fn what_is_no_json_is_said_to_be_none() {
        for body in ["", "{", "hello", r#"{"messages": []} x"#, "[]", "\u{0}"] {
            assert!(error(body).message.contains("no JSON"), "{body}: {:?}", error(body));
        }
        assert!(error("{}").message.contains("missing field `messages`"));
        let deep = format!("{{\"ignored\": {}", "[".repeat(100_000));
        assert!(error(&deep).message.contains("no JSON"), "{:?}", error(&deep));
    }
}
