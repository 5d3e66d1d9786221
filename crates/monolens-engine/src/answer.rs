//! Answers in conversations: a stream of events that writes itself into the chat.

use crate::chat::{Chat, Message, Role};
use crate::{Engine, EngineError, Event, FinishReason, Image, Prompt, RequestId, Settings};
use monolens_models::Model;
use monolens_models::image::{DecodeOptions, TileOptions, decode};

/// Images made ready for a conversation.
#[derive(Clone, Debug)]
pub struct Images {
    /// The images, in order.
    pub images: Vec<Image>,
    /// What the user should know: that they were tiled down to the budget.
    pub warning: Option<String>,
}

/// An answer that is being made. Dropping it stops it; the chat holds what was said until then.
pub struct Answer<'a> {
    engine: &'a mut Engine,
    chat: &'a mut Chat,
    id: RequestId,
    /// Where its text begins in the chat's last message: after the text that it goes on with, if any.
    begin: usize,
}

impl Images {
    /// As [`Engine::images`], with a model alone.
    ///
    /// # Errors
    /// As [`Engine::images`].
    pub fn new(
        model: &Model,
        files: &[&[u8]],
        options: &TileOptions,
        decode_options: &DecodeOptions,
    ) -> Result<Self, EngineError> {
        let decoded =
            files.iter().map(|bytes| decode(bytes, decode_options)).collect::<Result<Vec<_>, _>>()?;
        let prepared = model.preprocess(&decoded, options)?;
        Ok(Self { images: prepared.images.into_iter().map(Image::new).collect(), warning: prepared.warning })
    }
}

impl Engine {
    /// Decodes images (PNG, JPEG, WebP, BMP, GIF, TIFF) and cuts them into tiles; the tile budget is shared by all of
    /// them. Images of earlier turns count in a budget of their own.
    ///
    /// # Errors
    /// Bytes that are no image, or too large an image.
    pub fn images(&self, files: &[&[u8]], options: &TileOptions) -> Result<Images, EngineError> {
        Images::new(self.model(), files, options, &DecodeOptions::default())
    }

    /// The prompt that asks the model for the next message of a conversation.
    ///
    /// # Errors
    /// A conversation that makes no sense, or whose `<image>` marks and images differ in number.
    pub fn prompt(&self, chat: &Chat) -> Result<Prompt, EngineError> {
        chat.prompt(self.model())
    }

    /// The prompt of this text, whatever its template, with `<image>` for each image.
    ///
    /// # Errors
    /// `<image>` marks and images that differ in number.
    pub fn prompt_of_text(&self, text: String, images: Vec<Image>) -> Result<Prompt, EngineError> {
        Prompt::of_text(self.model(), text, images)
    }

    /// Begins the answer to the last message of a conversation. The answer is added to the conversation as it comes. If
    /// the last message is the assistant's (an answer that was stopped), the model goes on with it.
    ///
    /// # Errors
    /// As [`Engine::prompt`] and [`Engine::submit`].
    pub fn answer<'a>(
        &'a mut self,
        chat: &'a mut Chat,
        settings: Settings,
    ) -> Result<Answer<'a>, EngineError> {
        let prompt = self.prompt(chat)?;
        let id = self.submit(prompt, settings)?;
        if chat.messages.last().is_none_or(|message| message.role != Role::Assistant) {
            chat.messages.push(Message::new(Role::Assistant, ""));
        }
        let begin = text_len(chat);
        Ok(Answer { engine: self, chat, id, begin })
    }
}

impl Answer<'_> {
    /// The next event; `None` after [`Event::Finished`].
    ///
    /// # Errors
    /// As [`Engine::next_event`].
    pub async fn next(&mut self) -> Result<Option<Event>, EngineError> {
        let event = self.engine.next_event(self.id).await?;
        match &event {
            Some(Event::Token { id, text, .. }) => {
                let message = self.message();
                message.text.push_str(text);
                message.ids.push(*id);
            }
            Some(Event::Finished { text, reason, .. }) => {
                self.message().text.push_str(text);
                self.end(*reason);
            }
            _ => {}
        }
        Ok(event)
    }

    /// Runs to the end and gives the answer's text.
    ///
    /// # Errors
    /// As [`Answer::next`].
    pub async fn finish(mut self) -> Result<String, EngineError> {
        while self.next().await?.is_some() {}
        Ok(self.text().trim().to_owned())
    }

    /// Ends the answer; its [`Event::Finished`] comes next.
    pub fn stop(&mut self) {
        self.engine.stop(self.id);
    }

    /// The request behind it.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The engine, to go on after a lost device with [`Engine::recover`].
    pub fn engine(&mut self) -> &mut Engine {
        self.engine
    }

    /// What was said so far.
    pub fn text(&self) -> &str {
        let text = self.chat.messages.last().map_or("", |message| message.text.as_str());
        text.get(self.begin..).unwrap_or("")
    }

    fn message(&mut self) -> &mut Message {
        if self.chat.messages.is_empty() {
            self.chat.messages.push(Message::new(Role::Assistant, ""));
        }
        let last = self.chat.messages.len() - 1;
        &mut self.chat.messages[last]
    }

    /// A whole answer is kept without spaces around it, as in the official code; one that may be gone on with is kept
    /// as it is.
    fn end(&mut self, reason: FinishReason) {
        if matches!(reason, FinishReason::EndOfAnswer | FinishReason::StopString) {
            let text = &mut self.message().text;
            *text = text.trim().to_owned();
            self.begin = self.begin.min(text_len(self.chat));
        }
    }
}

fn text_len(chat: &Chat) -> usize {
    chat.messages.last().map_or(0, |message| message.text.len())
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.engine.discard(self.id);
        let empty = |message: &Message| message.role == Role::Assistant && message.text.is_empty();
        if self.chat.messages.last().is_some_and(empty) {
            // Nothing was said: the question still waits for its answer.
            self.chat.messages.pop();
        }
    }
}
