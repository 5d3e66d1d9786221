//! The key that clients must have, if there is one.

use super::body;
use crate::api::ApiError;
use crate::state::App;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

/// Lets a request pass that has the key.
pub(crate) async fn check(State(app): State<App>, request: Request, next: Next) -> Response {
    let Some(key) = &app.shared.options.api_key else { return next.run(request).await };
    if has_key(request.headers(), key) {
        return next.run(request).await;
    }
    body::discard(&mut request.into_body()).await;
    let error = ApiError::new(
        StatusCode::UNAUTHORIZED,
        "expected the header Authorization: Bearer KEY with the server's key",
    );
    let mut response = error.code("invalid_api_key").into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Takes as long for a wrong key as for the right one.
fn has_key(headers: &HeaderMap, key: &str) -> bool {
    let Some(value) = headers.get(AUTHORIZATION) else { return false };
    let Some((scheme, got)) = value.as_bytes().split_at_checked(7) else { return false };
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(got.trim_ascii().ct_eq(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_passes() {
        let with =
            |value: &'static str| HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
        assert!(has_key(&with("Bearer secret"), "secret"));
        assert!(has_key(&with("bearer secret"), "secret"));
        for wrong in ["Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Basic secret", "secret", ""] {
            assert!(!has_key(&with(wrong), "secret"), "{wrong}");
        }
        assert!(!has_key(&HeaderMap::new(), "secret"));
    }
}
