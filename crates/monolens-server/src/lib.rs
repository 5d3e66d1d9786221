//! OpenAI-compatible HTTP for the engine.
//!
//! | route | |
//! |---|---|
//! | `POST /v1/chat/completions` | an answer, whole or as server-sent events |
//! | `GET /v1/models`, `GET /v1/models/NAME` | the model that is served |
//! | `GET /health` | 200 when requests are answered, else 503 with `loading`, `recovering` or `stopping` |
//! | `GET /metrics` | Prometheus' text format |
//!
//! ```no_run
//! # fn run(model: std::sync::Arc<monolens_models::Model>, engine: monolens_engine::Engine)
//! # -> Result<(), Box<dyn std::error::Error>> {
//! use monolens_engine::{BackendChoice, open_backend};
//! use monolens_server::{Options, Server};
//!
//! let server = Server::bind(Options::default())?;
//! println!("http://{}", server.address());
//! server.stop_on_signals();
//! let reopen = || pollster::block_on(open_backend(&BackendChoice::default())).map(|opened| opened.backend);
//! server.run("mono", model, engine, Box::new(reopen))?;
//! # Ok(())
//! # }
//! ```
//!
//! # How a request is answered
//!
//! HTTP has a thread of its own (`http`), with tasks for connections and a few threads for decoding images; the engine
//! stays on the caller's (`worker`), which makes step after step for all requests at once. A request takes a *slot*
//! before its body is read, as many as the engine answers at once plus the queue; without one it is refused (429). Its
//! body becomes a prompt (`api`, `prepare`, `images`), which goes to the engine's thread; events come back over a
//! channel and leave as one answer or as a stream. When the client goes away, the channel's end goes with it, and the
//! engine drops the request before its next step. The slot goes with the request in the engine, not with the
//! connection, so a slow reader holds nobody up.

mod api;
mod http;
mod images;
mod metrics;
mod options;
mod prepare;
mod server;
mod signals;
mod state;
mod text;
mod worker;

pub use options::{Limits, Options};
pub use server::{Server, ServerError, Stopper};
pub use worker::Reopen;
