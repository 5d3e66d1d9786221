//! Bodies of requests: within a size, and within a time.

use crate::api::ApiError;
use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use http_body_util::BodyExt;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Longest wait for a body's next bytes.
const SILENCE: Duration = Duration::from_secs(30);

/// Longest time for reading what is thrown away.
const DISCARD: Duration = Duration::from_secs(2);

/// The whole body.
pub(crate) async fn read(body: &mut Body, most: usize, deadline: Instant) -> Result<Vec<u8>, ApiError> {
    let announced = body.size_hint().lower();
    if announced > most as u64 {
        return Err(too_large(most, &format!("{announced} bytes")));
    }
    let mut bytes = Vec::with_capacity(announced as usize);
    loop {
        let wait = SILENCE.min(deadline.saturating_duration_since(Instant::now()));
        let frame = timeout(wait, body.frame()).await.map_err(|_| silent())?;
        let Some(frame) = frame else { return Ok(bytes) };
        let frame = frame.map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, format!("the request's body ended early: {error}"))
        })?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > most {
                return Err(too_large(most, "more"));
            }
            bytes.extend_from_slice(data);
        }
    }
}

/// Reads a body that nobody needs, for a moment: a client that still sends sees the answer only afterwards.
pub(crate) async fn discard(body: &mut Body) {
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    // What did not come by then is not waited for.
    let _ = timeout(DISCARD, all).await;
}

fn too_large(most: usize, got: &str) -> ApiError {
    let message = format!("expected a body of at most {most} bytes, got {got}");
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message).code("request_too_large")
}

fn silent() -> ApiError {
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "the request's body did not come in time")
}
