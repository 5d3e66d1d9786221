//! Conversations.

use crate::image::Tile;
use std::sync::Arc;

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions; the first message only. Without one the model's own system prompt is used.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// An image of a conversation, cut into tiles. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatImage {
    /// Its tiles in order, thumbnail last.
    pub tiles: Arc<[Tile]>,
    /// Columns and rows of the grid, the thumbnail not counted.
    pub grid: (usize, usize),
    /// Size of the image in pixels.
    pub size: (usize, usize),
    /// What the user should know, e.g. that it was tiled down to the budget.
    pub warning: Option<String>,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// Its text. `<image>` marks where an image goes; images without a mark go in front (spec §10).
    pub text: String,
    /// Its images, in order.
    pub images: Vec<ChatImage>,
}

impl Message {
    /// A message without images.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into(), images: Vec::new() }
    }
}

/// A conversation: what was said, so that it can go on with the next question, on another device even.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chat {
    /// All messages in order.
    pub messages: Vec<Message>,
}

impl Chat {
    /// A new conversation with the model's own system prompt.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new conversation with instructions.
    pub fn with_system(text: impl Into<String>) -> Self {
        Self { messages: vec![Message::new(Role::System, text)] }
    }

    /// Adds a question.
    pub fn ask(&mut self, text: impl Into<String>, images: Vec<ChatImage>) {
        self.messages.push(Message { role: Role::User, text: text.into(), images });
    }
}
