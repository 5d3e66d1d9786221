//! Sequences, KV pages, batches, sampling and token streams: what every front end talks to.
//!
//! An [`Engine`](#the-api) holds a model on one device and answers any number of conversations at once. It is driven by
//! its caller: nothing happens between calls, there are no threads, and whatever waits is a future (native code blocks
//! on it, the browser awaits it).
//!
//! # The API
//!
//! ```text
//! // device.rs
//! let opened = open_backend(&BackendChoice::default()).await?;      // Opened { backend, reason }
//!
//! // engine.rs; the model is a monolens_models::Model
//! let mut engine = Engine::load(model, opened.backend, EngineOptions::default(), &mut |p| ControlFlow::Continue(())).await?;
//!
//! // conversations (chat.rs)
//! let Images { images, warning } = engine.images(&[&bytes], &TileOptions::default())?;   // or Image::new(tiles)
//! let mut chat = Chat::new();
//! chat.ask("What is this?", images);
//! let mut answer: Answer = engine.answer(&mut chat, Settings::default())?;
//! while let Some(event) = answer.next().await? { .. }               // Event::{Started, Prefill, Token, Finished}
//! answer.stop();                                                    // or drop it: `chat` holds what was said
//!
//! // many at once (the server), and where borrows are in the way (the browser)
//! let prompt: Prompt = engine.prompt(&chat)?;                       // or Prompt { ids, images }
//! let id: RequestId = engine.submit(prompt, settings)?;
//! while engine.is_busy() {
//!     for (id, event) in engine.step().await? { .. }                // (RequestId, Result<Event, EngineError>)
//! }
//! engine.stop(id);                                                  // its Finished comes with the next step
//! let event = engine.next_event(id).await?;                         // steps until this request has an event
//!
//! // looking inside (inspect.rs)
//! let seen: Inspected = engine.inspect(Inspect { prompt, forced, taps, logits, rows }).await?;
//! //   .next_ids (argmax after every position), .logits, .tensors: BTreeMap<String, HostTensor>
//!
//! engine.stats(); engine.memory(); engine.device(); engine.model();
//! engine.recover(new_backend, &mut progress).await?;                // after error.is_device_lost()
//! ```

mod answer;
mod blueprint;
mod chat;
pub mod device;
mod engine;
mod error;
mod event;
mod image;
mod inspect;
pub mod kv;
pub mod loader;
mod options;
mod pack;
mod prompt;
mod request;
mod runner;
mod sampling;
mod scheduler;
mod sequence;
mod setup;
mod stats;
mod stop;
mod tensors;
mod visual;

pub use answer::{Answer, Images};
pub use chat::{Chat, Message, Role};
pub use device::{BackendChoice, BackendName, CpuArithmetic, Opened, open_backend};
pub use engine::{Emitted, Engine};
pub use error::EngineError;
pub use event::{AnswerStats, Event, FinishReason, RequestId};
pub use image::Image;
pub use inspect::{Inspect, Inspected};
pub use loader::{OnProgress, Progress, Stage, WeightReader};
pub use monolens_models::image::TileOptions;
pub use options::EngineOptions;
pub use prompt::Prompt;
pub use sampling::Settings;
pub use stats::{Memory, Stats};
