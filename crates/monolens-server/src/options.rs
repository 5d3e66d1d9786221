//! What whoever runs the server decides.

use std::time::Duration;

/// Options of a [`crate::Server`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Address or name of the interface to listen on.
    pub host: String,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Key that clients must send as `Authorization: Bearer KEY`.
    pub api_key: Option<String>,
    /// Origins of web pages that may ask; `*` is every page.
    pub cors: Vec<String>,
    /// What one client, and all of them, may ask for.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 8080,
            api_key: None,
            cors: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Limits; beyond them a request is refused at once, with the number in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait while as many as the engine takes are answered.
    pub queue: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Images of a request, all its messages together.
    pub images: usize,
    /// Pixels of a request's images together.
    pub pixels: u64,
    /// Tiles of an image, its thumbnail not counted; none is the model's own limit.
    pub tiles: Option<usize>,
    /// From a request's arrival to the end of its answer.
    pub request_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue: 32,
            body_bytes: 32 << 20,
            images: 32,
            pixels: 100_000_000,
            tiles: None,
            request_time: Duration::from_secs(600),
        }
    }
}
