//! Errors as the border has them: JavaScript errors with a code.

use monolens_engine::EngineError;
use monolens_graph::BackendError;
use monolens_models::ModelError;
use monolens_models::checkpoint::CheckpointError;
use std::fmt::Display;
use wasm_bindgen::{JsCast, JsValue};

/// Codes that a [`ModelFiles`](crate::files::ModelFiles) may give its own errors; others become `read-failed`.
const OF_FILES: [&str; 2] = ["cancelled", "bad-model"];

/// What went wrong, on its way to JavaScript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// One of `ErrorCode`.
    pub code: &'static str,
    /// For people.
    pub text: String,
}

impl Failure {
    pub fn new(code: &'static str, text: impl Display) -> Self {
        Self { code, text: text.to_string() }
    }

    /// A value from JavaScript that is not what the contract says.
    pub fn bad_request(what: &str, error: impl Display) -> Self {
        Self::new("bad-request", format!("{what}: {error}"))
    }

    /// Of an error that JavaScript code threw while it read `what`.
    pub fn of_files(what: &str, error: &JsValue) -> Self {
        let text = |key: &str| js_sys::Reflect::get(error, &key.into()).ok().and_then(|v| v.as_string());
        let code = text("code").and_then(|code| OF_FILES.into_iter().find(|known| *known == code));
        let text = text("message").or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"));
        Self::new(code.unwrap_or("read-failed"), format!("{what}: {text}"))
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        let error = js_sys::Error::new(&failure.text);
        error.set_name("MonolensError");
        // Fails on frozen objects only.
        let _ = js_sys::Reflect::set(&error, &"code".into(), &failure.code.into());
        error.unchecked_into()
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        use EngineError as E;
        let code = match &error {
            E::Backend(error) => of_backend(error),
            E::TooLarge { .. } => "out-of-memory",
            E::NeedsRecovery => "device-lost",
            E::Checkpoint(_) | E::Tokenizer(_) | E::Graph(_) | E::Model(_) | E::NoFiniteLogits => "bad-model",
            E::Image(_) => "bad-image",
            E::Weights { .. } => "read-failed",
            E::Cancelled => "cancelled",
            E::ContextOverflow { .. } => "context-full",
            E::Prompt(_)
            | E::Chat(_)
            | E::EmptyPrompt
            | E::BadToken { .. }
            | E::VisualMismatch { .. }
            | E::TileSize { .. }
            | E::Setting { .. }
            | E::UnknownTap { .. } => "bad-request",
            E::Internal(_) => "internal",
        };
        match error {
            // Asked for, not a fault of the model.
            error @ E::Checkpoint(CheckpointError::RoundedAlready { .. }) => Self::new("bad-request", error),
            E::Setting { name, expected, got } => {
                Self::new(code, format!("{}: expected {expected}, got {got}", setting_name(name)))
            }
            error => Self::new(code, error),
        }
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        Self::new(of_backend(&error), error)
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::new("bad-model", error)
    }
}

/// A setting's name as the caller wrote it: that of `Settings` in `contract.ts`.
fn setting_name(name: &str) -> &str {
    match name {
        "top_p" => "topP",
        "repetition_penalty" => "repetitionPenalty",
        "max_new_tokens" => "maxNewTokens",
        "stop_strings" => "stop",
        same => same,
    }
}

fn of_backend(error: &BackendError) -> &'static str {
    match error {
        BackendError::Unavailable { .. } | BackendError::Limit { .. } => "unavailable",
        BackendError::OutOfMemory { .. } => "out-of-memory",
        BackendError::DeviceLost { .. } => "device-lost",
        BackendError::Weight { .. } => "bad-model",
        BackendError::Input { .. } | BackendError::Device(_) => "internal",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_code() {
        let code = |error: EngineError| Failure::from(error).code;
        assert_eq!(code(EngineError::NeedsRecovery), "device-lost");
        assert_eq!(code(EngineError::Cancelled), "cancelled");
        assert_eq!(code(EngineError::Chat("x")), "bad-request");
        let lost = BackendError::DeviceLost { reason: "x".into() };
        assert_eq!(code(lost.into()), "device-lost");
        let full = EngineError::ContextOverflow { needed: 3, visual: 2, available: 1 };
        assert_eq!(
            Failure::from(full).text,
            "the prompt has 3 tokens (2 visual), the context holds 1, the answer included; fewer images or tiles take less"
        );
    }

    #[test]
    fn a_setting_is_named_as_the_caller_wrote_it() {
        use monolens_engine::Settings;
        let own = Settings::default;
        let wrong = [
            (Settings { top_p: 7.0, ..own() }, "topP: expected over 0 and up to 1, got 7"),
            (Settings { temperature: -1.0, ..own() }, "temperature: expected 0 or more, got -1"),
            (Settings { max_new_tokens: 0, ..own() }, "maxNewTokens: expected 1 or more, got 0"),
            (
                Settings { stop_strings: vec![String::new()], ..own() },
                "stop: expected texts of at least one character, got an empty text",
            ),
        ];
        for (settings, text) in wrong {
            let failure = Failure::from(settings.check().unwrap_err());
            assert_eq!(failure, Failure::new("bad-request", text));
        }
    }
}
