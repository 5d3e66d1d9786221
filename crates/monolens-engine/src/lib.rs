//! Sequences, KV pages, batches, sampling and token streams: what every front end talks to.
//!
//! An [`Engine`] holds a model on one device and answers any number of conversations at once. It is driven by
//! its caller: nothing happens between calls, there are no threads, and whatever waits is a future (native code blocks
//! on it, the browser awaits it).
//!
//! ```no_run
//! # async fn run(model: monolens_models::Model, photo: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//! use monolens_engine::{BackendChoice, Chat, Engine, EngineOptions, Event, Settings, TileOptions, open_backend};
//! use std::ops::ControlFlow;
//!
//! let opened = open_backend(&BackendChoice::default()).await?;
//! println!("{}", opened.reason);
//! let mut on_progress = |_: monolens_engine::Progress<'_>| ControlFlow::Continue(());
//! let mut engine = Engine::load(model.into(), opened.backend, EngineOptions::default(), &mut on_progress).await?;
//!
//! let photo = engine.images(&[&photo], &TileOptions::default())?;
//! let mut chat = Chat::new();
//! chat.ask("What is this?", photo.images);
//! let mut answer = engine.answer(&mut chat, Settings::default())?;
//! while let Some(event) = answer.next().await? {
//!     if let Event::Token { text, .. } = event {
//!         print!("{text}");
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! An [`Answer`] that is dropped or stopped leaves what was said in its [`Chat`], which can go on with the next
//! question, on another engine even. Where many answers are made at once (a server), or borrows are in the way (a
//! browser), requests have names: [`Engine::submit`], [`Engine::step`], [`Engine::next_event`], [`Engine::stop`].
//! [`Engine::inspect`] gives logits and tensors between the layers. After a lost device
//! ([`EngineError::is_device_lost`]), [`Engine::recover`] goes on with another one. [`selftest`] tells whether a device
//! computes what it should.
//!
//! # How a step is made
//!
//! The `scheduler` chooses rows of sequences and gives them KV pages ([`kv`]: shared by prompts that begin alike) and
//! their image tiles places in the visual state; tiles that are not there go through the vision program; `pack` makes
//! the batch, each token routed by its own modality; `runner` takes the cheapest program for it. One id a sequence
//! comes back, `request` turns it into text.

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
mod look;
mod memory;
mod options;
mod pack;
mod prompt;
mod request;
mod runner;
mod sampling;
mod scheduler;
mod segments;
pub mod selftest;
mod sequence;
mod setup;
mod stats;
mod stop;
mod tensors;
#[cfg(all(feature = "wgpu", not(target_arch = "wasm32")))]
pub mod tuning;
mod visual;

pub use answer::{Answer, Images};
pub use chat::{Chat, Message, Role};
pub use device::{BackendChoice, BackendName, CpuArithmetic, Opened, open_backend};
pub use engine::{Emitted, Engine};
pub use error::EngineError;
pub use event::{AnswerStats, Event, FinishReason, RequestId};
pub use image::Image;
pub use inspect::{Inspect, Inspected};
pub use loader::{OnProgress, Piece, Progress, Stage, WeightReader};
pub use look::{ImageAttention, ImageMap};
pub use monolens_models::image::TileOptions;
pub use monolens_models::quant::Quantization;
pub use options::{EngineOptions, kv_type, kv_type_name};
pub use prompt::{Prompt, PromptShape};
pub use sampling::Settings;
pub use segments::{Segment, SegmentKind};
pub use stats::{Memory, Stats};
