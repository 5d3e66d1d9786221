//! `POST /v1/chat/completions`.

use super::cors::REQUEST_ID;
use super::{body, stream};
use crate::api::{ApiError, Completion, Usage};
use crate::prepare::{Asked, prepare};
use crate::state::{App, Job, Shared, Update};
use crate::text::Trimmed;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use monolens_engine::{Event, FinishReason};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// Answers a request, whatever it is.
pub(crate) async fn completions(State(app): State<App>, request: Request) -> Response {
    let arrived = Instant::now();
    let id = format!("chatcmpl-{:016x}", RandomState::new().hash_one(arrived));
    let (head, mut body) = request.into_parts();
    let answered = answer(&app, &id, arrived, &head.headers, &mut body).await;
    let mut response = match answered {
        Ok(response) => response,
        Err(error) => {
            log::info!("{id}: {} {}", error.status.as_u16(), error.message);
            body::discard(&mut body).await;
            error.into_response()
        }
    };
    app.shared.metrics.request(response.status().as_u16());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn answer(
    app: &App,
    id: &str,
    arrived: Instant,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Response, ApiError> {
    check_type(headers)?;
    // Before the body is read, so that memory is bounded whatever comes.
    let (slot, hosted) = app.shared.admit()?;
    let deadline = arrived + app.shared.request_time();
    let bytes = body::read(body, app.shared.options.limits.body_bytes, deadline).await?;
    let Asked { prompt, settings, stream, include_usage, goes_on } = understand(app, bytes).await?;
    let (updates, mut told) = mpsc::unbounded_channel();
    app.send(Job { id: id.to_owned(), prompt, settings, arrived, updates, slot })?;
    match told.recv().await {
        Some(Update::Failed(error)) => return Err(error),
        Some(_) => {}
        None => return Err(Shared::stopped()),
    }
    let text = Trimmed::new(goes_on);
    if stream {
        let name = (id.to_owned(), hosted.name.clone());
        return Ok(stream::respond(name, told, text, include_usage));
    }
    let (text, reason, usage) = collect(told, text).await?;
    Ok(Json(Completion::new(id, &hosted.name, &text, reason.openai(), usage)).into_response())
}

/// JSON only: a web page cannot send it to another origin without asking first (see `--cors`).
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("none");
    let essence = value.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let got: String = value.chars().take(100).collect();
    let message = format!("expected the header Content-Type: application/json, got {got}");
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

/// Reads the request on a thread that may take its time.
async fn understand(app: &App, bytes: Vec<u8>) -> Result<Asked, ApiError> {
    let room = Arc::clone(&app.shared.decoders).acquire_owned().await;
    let shared = Arc::clone(&app.shared);
    let read = tokio::task::spawn_blocking(move || {
        let _room = room;
        let hosted = shared.hosted().ok_or_else(Shared::stopped)?;
        prepare(&bytes, &hosted.model, &hosted.name, &shared.options.limits)
    });
    let failed =
        |error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("reading the request: {error}"));
    read.await.map_err(failed)?
}

/// The whole answer.
async fn collect(
    mut told: mpsc::UnboundedReceiver<Update>,
    mut trimmed: Trimmed,
) -> Result<(String, FinishReason, Usage), ApiError> {
    let mut all = String::new();
    loop {
        match told.recv().await {
            Some(Update::Event(Event::Token { text, .. })) => all.push_str(&trimmed.push(&text)),
            Some(Update::Event(Event::Finished { reason, text, stats })) => {
                all.push_str(&trimmed.push(&text));
                all.push_str(&trimmed.finish(is_whole(reason)));
                return Ok((all, reason, Usage::from(&stats)));
            }
            Some(Update::Failed(error)) => return Err(error),
            Some(Update::Accepted | Update::Event(_)) => {}
            None => return Err(Shared::stopped()),
        }
    }
}

/// Whether an answer ended by itself.
pub(crate) fn is_whole(reason: FinishReason) -> bool {
    matches!(reason, FinishReason::EndOfAnswer | FinishReason::StopString)
}
