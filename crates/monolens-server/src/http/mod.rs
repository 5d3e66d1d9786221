//! HTTP: connections, routes, handlers.

mod auth;
mod body;
mod chat;
mod cors;
mod info;
mod serve;
mod stream;

pub(crate) use cors::layer as cors;
pub(crate) use serve::serve;

use crate::api::ApiError;
use crate::state::App;
use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use tower_http::cors::CorsLayer;

/// All routes. Only `/health` needs no key.
pub(crate) fn router(app: App, cors: Option<CorsLayer>) -> Router {
    let router = Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route("/v1/models", get(info::models))
        .route("/v1/models/{*name}", get(info::model))
        .route("/metrics", get(info::metrics))
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), auth::check))
        .route("/health", get(info::health))
        .fallback(nothing_there)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

const ROUTES: &str =
    "there are POST /v1/chat/completions, GET /v1/models, GET /v1/models/NAME, GET /metrics, GET /health";

async fn nothing_there(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(100).collect();
    ApiError::new(StatusCode::NOT_FOUND, format!("{method} {path}: {ROUTES}")).code("unknown_url")
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} {}: {ROUTES}", uri.path()))
}
