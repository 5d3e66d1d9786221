//! What the server tells about itself.

use crate::api::{ApiError, ModelEntry, ModelList};
use crate::prepare::unknown_model;
use crate::state::{App, Hosted, Phase};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::json;

fn hosted(app: &App) -> Result<&Hosted, ApiError> {
    app.shared.hosted().ok_or_else(|| ApiError::unavailable("the model is being loaded").code("loading"))
}

fn entry(hosted: &Hosted) -> ModelEntry<'_> {
    ModelEntry::new(&hosted.name, hosted.created, hosted.context)
}

/// `GET /v1/models`.
pub(crate) async fn models(State(app): State<App>) -> Result<Response, ApiError> {
    Ok(Json(ModelList::new(entry(hosted(&app)?))).into_response())
}

/// `GET /v1/models/NAME`.
pub(crate) async fn model(State(app): State<App>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let hosted = hosted(&app)?;
    match name == hosted.name {
        true => Ok(Json(entry(hosted)).into_response()),
        false => Err(unknown_model(&name, &hosted.name)),
    }
}

/// `GET /health`: 200 when requests are answered, else 503 and why not.
pub(crate) async fn health(State(app): State<App>) -> Response {
    let phase = app.shared.phase();
    let status = if phase == Phase::Ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let model = app.shared.hosted().map(|hosted| hosted.name.as_str());
    (status, Json(json!({ "status": phase.name(), "model": model }))).into_response()
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let text = app.shared.metrics.text();
    let (text, format) =
        text.map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(CONTENT_TYPE, format)], text).into_response())
}
