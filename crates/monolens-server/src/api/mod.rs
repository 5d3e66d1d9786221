//! OpenAI's format: what comes in, what goes out, and errors.

mod content;
mod error;
mod request;
mod response;

pub(crate) use content::{Content, ImageUrl};
pub(crate) use error::ApiError;
pub(crate) use request::{ChatRequest, Message, Stop};
pub(crate) use response::{Chunk, Completion, Delta, ModelEntry, ModelList, Usage, now};
