//! Which web pages may ask.

use axum::http::{HeaderName, HeaderValue, Method};
use std::time::Duration;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// The name of a request, for clients.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The layer for these origins; none if there are none.
///
/// # Errors
/// Names an origin that is none.
pub(crate) fn layer(origins: &[String]) -> Result<Option<CorsLayer>, String> {
    if origins.is_empty() {
        return Ok(None);
    }
    let mut allowed = Vec::new();
    for origin in origins.iter().filter(|origin| *origin != "*") {
        let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        let is_origin = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains('/'));
        match HeaderValue::from_str(origin) {
            Ok(value) if is_origin => allowed.push(value),
            _ => return Err(format!("expected * or an origin such as https://example.com, got {origin:?}")),
        }
    }
    let any = allowed.len() < origins.len();
    let layer = CorsLayer::new()
        .allow_origin(if any { AllowOrigin::any() } else { AllowOrigin::list(allowed) })
        .allow_methods([Method::GET, Method::POST])
        // Clients in browsers send headers of their own.
        .allow_headers(AllowHeaders::mirror_request())
        .allow_private_network(true)
        .expose_headers([REQUEST_ID])
        .max_age(Duration::from_secs(3600));
    Ok(Some(layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_checked() {
        let one = |origin: &str| layer(&[origin.to_owned()]);
        assert!(one("*").unwrap().is_some());
        assert!(one("http://localhost:5173").unwrap().is_some());
        assert!(layer(&[]).unwrap().is_none());
        for wrong in ["", "localhost", "https://", "https://a/b", "https://a/", "http://a\n"] {
            assert!(one(wrong).is_err(), "{wrong}");
        }
    }
}
