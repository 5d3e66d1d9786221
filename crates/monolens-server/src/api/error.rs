//! Errors as OpenAI's clients understand them.

use axum::Json;
use axum::http::header::{CONNECTION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use monolens_engine::EngineError;
use monolens_graph::BackendError;
use serde::Serialize;
use serde_json::{Value, json};

/// A request that cannot be answered, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// What was expected and what came.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// A word for programs.
    pub code: Option<&'static str>,
    /// Seconds after which another try makes sense.
    pub retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: Option<&'static str>,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code: None, retry_after: None }
    }

    /// A field of the request is wrong.
    pub fn field(param: impl Into<String>, expected: impl std::fmt::Display) -> Self {
        let param = param.into();
        let message = format!("{param}: {expected}");
        Self { param: Some(param), ..Self::new(StatusCode::BAD_REQUEST, message) }
    }

    /// The queue is full.
    pub fn busy(requests: usize, retry_after: u64) -> Self {
        let message = format!("{requests} requests are being answered or waiting, and no more may wait");
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, message).code("queue_full");
        Self { retry_after: Some(retry_after), ..error }
    }

    /// The server cannot answer just now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retry_after: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// The request took longer than it may.
    pub fn timeout(seconds: u64, tokens: usize) -> Self {
        let message = format!("the answer was not ready within {seconds} s ({tokens} tokens were made)");
        Self::new(StatusCode::GATEWAY_TIMEOUT, message).code("request_timeout")
    }

    /// With a word for programs.
    pub fn code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    /// With the field at fault in front.
    pub fn at(self, param: &str) -> Self {
        Self { message: format!("{param}: {}", self.message), param: Some(param.to_owned()), ..self }
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        let r#type = match self.status {
            StatusCode::UNAUTHORIZED => "authentication_error",
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let (message, param) = (self.message.as_str(), self.param.as_deref());
        json!({ "error": Body { message, r#type, param, code: self.code } })
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.json())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::GATEWAY_TIMEOUT {
            // Official clients would ask twice more for what takes too long.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if matches!(self.status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
            // The rest of the body is not read.
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        let bad = || Self::new(StatusCode::BAD_REQUEST, message.clone());
        match error {
            EngineError::ContextOverflow { .. } => {
                Self { param: Some("messages".into()), ..bad().code("context_length_exceeded") }
            }
            EngineError::Setting { name, expected, got } => {
                let name = if name == "max_new_tokens" { "max_tokens" } else { name };
                Self::field(name, format!("expected {expected}, got {got}"))
            }
            EngineError::Image(_) | EngineError::TileSize { .. } => bad().code("invalid_image"),
            EngineError::Prompt(_)
            | EngineError::Tokenizer(_)
            | EngineError::Chat(_)
            | EngineError::EmptyPrompt
            | EngineError::BadToken { .. }
            | EngineError::VisualMismatch { .. } => Self { param: Some("messages".into()), ..bad() },
            EngineError::Backend(BackendError::OutOfMemory { .. }) => {
                Self::unavailable(message).code("out_of_memory")
            }
            error if error.is_device_lost() => Self::unavailable(message).code("device_lost"),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overflow_names_both_numbers() {
        let error = EngineError::ContextOverflow { needed: 700, visual: 16, available: 512 };
        let error = ApiError::from(error);
        assert_eq!((error.status, error.code), (StatusCode::BAD_REQUEST, Some("context_length_exceeded")));
        let json = error.json();
        let message = json["error"]["message"].as_str().unwrap();
        assert!(message.contains("700 tokens (16 visual)") && message.contains("512"), "{message}");
        assert_eq!(json["error"]["type"], "invalid_request_error");
        assert_eq!(json["error"]["param"], "messages");
    }

    #[test]
    fn the_devices_errors_are_the_servers() {
        let full = BackendError::OutOfMemory {
            device: "d".into(),
            what: "activations".into(),
            requested: 7,
            used: 1,
        };
        let error = ApiError::from(EngineError::from(full));
        assert_eq!((error.status.as_u16(), error.code), (503, Some("out_of_memory")));
        assert_eq!(error.json()["error"]["type"], "server_error");
        assert_eq!(ApiError::from(EngineError::NoFiniteLogits).status.as_u16(), 500);
    }
}
