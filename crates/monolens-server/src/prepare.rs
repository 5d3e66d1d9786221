//! From a request's body to what the engine takes. All of it can run on any thread.

use crate::api::{ApiError, ChatRequest, Content, Message, Stop};
use crate::images::{Eye, Wanted};
use crate::options::Limits;
use axum::http::StatusCode;
use monolens_engine::{Chat, Message as Said, Prompt, Role, Settings};
use monolens_models::Model;

/// Stop texts of a request.
const MOST_STOPS: usize = 16;

/// A request that was understood.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What the model reads.
    pub prompt: Prompt,
    /// How it answers.
    pub settings: Settings,
    /// Whether the answer comes piece by piece.
    pub stream: bool,
    /// Whether the counts come at its end.
    pub include_usage: bool,
    /// Whether the answer goes on with the last message instead of beginning one.
    pub goes_on: bool,
}

/// Reads a request for this model.
pub(crate) fn prepare(body: &[u8], model: &Model, name: &str, limits: &Limits) -> Result<Asked, ApiError> {
    let request = ChatRequest::parse(body)?;
    if let Some(other) = request.model.as_deref().filter(|&asked| asked != name) {
        return Err(unknown_model(other, name));
    }
    request.check_supported()?;
    let settings = settings(&request, model)?;
    let chat = chat(&request.messages, model, limits)?;
    let goes_on = chat.messages.last().is_some_and(|last| last.role == Role::Assistant);
    let options = request.stream_options;
    Ok(Asked {
        prompt: chat.prompt(model)?,
        settings,
        stream: request.stream == Some(true),
        include_usage: options.and_then(|options| options.include_usage) == Some(true),
        goes_on,
    })
}

/// A model that is not served.
pub(crate) fn unknown_model(asked: &str, served: &str) -> ApiError {
    let asked: String = asked.chars().take(100).collect();
    let message = format!("model: expected {served:?}, got {asked:?}");
    let error = ApiError::new(StatusCode::NOT_FOUND, message).code("model_not_found");
    ApiError { param: Some("model".into()), ..error }
}

/// The settings: what is left out is as in the model's `generation_config.json`, or else greedy.
fn settings(request: &ChatRequest, model: &Model) -> Result<Settings, ApiError> {
    let config = model.generation();
    let mut settings = Settings::from_config(config);
    if let Some(temperature) = request.temperature {
        settings.temperature = temperature;
        if !config.do_sample {
            (settings.top_k, settings.top_p) = (config.top_k, config.top_p);
        }
    }
    if let Some(top_p) = request.top_p {
        settings.top_p = top_p;
    }
    match request.top_k {
        None => {}
        Some(-1) => settings.top_k = 0,
        Some(k) => {
            let wrong = |_| ApiError::field("top_k", format!("expected -1 (all), 0 (all) or more, got {k}"));
            settings.top_k = usize::try_from(k).map_err(wrong)?;
        }
    }
    if let Some(penalty) = request.repetition_penalty {
        settings.repetition_penalty = penalty;
    }
    if let Some(tokens) = request.max_completion_tokens.or(request.max_tokens) {
        settings.max_new_tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
    }
    settings.seed = request.seed.map(i64::cast_unsigned);
    settings.stop_strings = stops(request)?;
    settings.keep_tags = request.skip_special_tokens == Some(false);
    settings.check()?;
    Ok(settings)
}

fn stops(request: &ChatRequest) -> Result<Vec<String>, ApiError> {
    let stops = match request.stop.clone() {
        None => Vec::new(),
        Some(Stop::One(stop)) => vec![stop],
        Some(Stop::Several(stops)) => stops,
    };
    if stops.len() > MOST_STOPS || stops.iter().any(String::is_empty) {
        let expected = format!("expected at most {MOST_STOPS} texts of at least one character");
        return Err(ApiError::field("stop", expected));
    }
    Ok(stops)
}

fn chat(messages: &[Message], model: &Model, limits: &Limits) -> Result<Chat, ApiError> {
    if messages.is_empty() {
        return Err(ApiError::field("messages", "expected at least one, got none"));
    }
    let images: usize =
        messages.iter().filter_map(|message| message.content.as_ref()).map(Content::images).sum();
    if images > limits.images {
        let expected = format!("expected at most {} images, got {images}", limits.images);
        return Err(ApiError::field("messages", expected).code("too_many_images"));
    }
    let mut eye = Eye::new(model, limits);
    let said = messages.iter().enumerate().map(|(n, message)| say(n, message, &mut eye));
    Ok(Chat { messages: said.collect::<Result<_, _>>()? })
}

/// A message for the engine: texts a line each; images where the text has `<image>`, else in front.
fn say(n: usize, message: &Message, eye: &mut Eye<'_>) -> Result<Said, ApiError> {
    let field = format!("messages[{n}]");
    let role = match message.role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let other: String = other.chars().take(60).collect();
            let expected = format!("expected system, developer, user or assistant, got {other:?}");
            return Err(ApiError::field(format!("{field}.role"), expected));
        }
    };
    let parts = match &message.content {
        None => {
            return Err(ApiError::field(format!("{field}.content"), "expected a text or a list of parts"));
        }
        Some(Content::Text(text)) => return Ok(Said::new(role, text)),
        Some(Content::Parts(parts)) => parts,
    };
    let (mut texts, mut wanted) = (Vec::new(), Vec::new());
    for (m, part) in parts.iter().enumerate() {
        let field = format!("{field}.content[{m}]");
        match (part.r#type.as_str(), &part.text, &part.image_url) {
            ("text", Some(text), _) => texts.push(text.as_str()),
            ("image_url", _, Some(image)) if role == Role::User => {
                wanted.push(Wanted { field: format!("{field}.image_url"), image });
            }
            ("image_url", _, Some(_)) => {
                return Err(ApiError::field(field, "only the user's messages can have images"));
            }
            ("text" | "image_url", ..) => {
                let missing = &part.r#type;
                return Err(ApiError::field(
                    format!("{field}.{missing}"),
                    "expected by the part's type, got none",
                ));
            }
            (other, ..) => {
                let other: String = other.chars().take(60).collect();
                let expected = format!("expected text or image_url, got {other:?}");
                return Err(ApiError::field(format!("{field}.type"), expected));
            }
        }
    }
    Ok(Said { images: eye.look(&wanted)?, ..Said::new(role, texts.join("\n")) })
}

impl Content {
    /// How many images it has.
    fn images(&self) -> usize {
        match self {
            Self::Text(_) => 0,
            Self::Parts(parts) => parts.iter().filter(|part| part.image_url.is_some()).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolens_models::checkpoint::DType;
    use monolens_models::random::Preset;

    fn asked(body: &str) -> Result<Asked, ApiError> {
        let model = Model::random(Preset::Tiny, DType::BF16, 1, None).unwrap();
        prepare(body.as_bytes(), &model, "tiny", &Limits { images: 2, ..Limits::default() })
    }

    #[test]
    fn settings_are_openais() {
        let asked = asked(
            r#"{"model": "tiny", "messages": [{"role": "developer", "content": "s"}, {"role": "user", "content": "q"}],
            "max_tokens": 5, "max_completion_tokens": 7, "temperature": 0.5, "top_p": 0.9, "top_k": -1, "seed": -1,
            "stop": "END", "repetition_penalty": 1.1, "stream": true, "stream_options": {"include_usage": true}}"#,
        )
        .unwrap();
        let s = &asked.settings;
        assert_eq!((s.max_new_tokens, s.temperature, s.top_p, s.top_k), (7, 0.5, 0.9, 0));
        assert_eq!((s.seed, s.repetition_penalty), (Some(u64::MAX), 1.1));
        assert_eq!(s.stop_strings, ["END"]);
        assert!(asked.stream && asked.include_usage && !asked.goes_on);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_field() {
        let user = |rest: &str| format!(r#"{{"messages": [{{"role": "user", "content": "q"}}]{rest}}}"#);
        let content = |role: &str, content: &str| {
            format!(r#"{{"messages": [{{"role": "{role}", "content": {content}}}]}}"#)
        };
        let image = r#"{"type": "image_url", "image_url": {"url": "data:,x"}}"#;
        for (body, field, word) in [
            (user(r#", "model": "gpt""#), "model", "gpt"),
            (user(r#", "temperature": -1"#), "temperature", "0 or more"),
            (user(r#", "temperature": 1e300"#), "temperature", "0 or more"),
            (user(r#", "top_p": 0"#), "top_p", "over 0"),
            (user(r#", "top_k": -7"#), "top_k", "-7"),
            (user(r#", "max_tokens": 0"#), "max_tokens", "1 or more"),
            (user(r#", "stop": """#), "stop", "one character"),
            (r#"{"messages": []}"#.to_owned(), "messages", "at least one"),
            (content("user", "null"), "messages[0].content", "expected a text"),
            (content("user", r#"" ""#), "messages", "empty"),
            (content("tool", r#""x""#), "messages[0].role", "tool"),
            (content("assistant", r#""x""#), "messages", "begins with a question"),
            (content("user", r#"[{"type": "input_audio"}]"#), "messages[0].content[0].type", "input_audio"),
            (content("user", r#"[{"type": "text"}]"#), "messages[0].content[0].text", "none"),
            (content("user", &format!("[{image}]")), "messages[0].content[0].image_url", "PNG"),
            (content("system", &format!("[{image}]")), "messages[0].content[0]", "user's"),
            (content("user", &format!("[{image},{image},{image}]")), "messages", "at most 2 images, got 3"),
            (content("user", r#""<image> what?""#), "messages", "0 images"),
        ] {
            let error = asked(&body).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(field), "{body}: {error:?}");
            assert!(error.message.contains(word), "{body}: {error:?}");
            let status = if field == "model" { 404 } else { 400 };
            assert_eq!(error.status.as_u16(), status);
        }
    }

    #[test]
    fn an_answer_can_be_gone_on_with() {
        let body =
            r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "I"}]}"#;
        assert!(asked(body).unwrap().goes_on);
    }
}
