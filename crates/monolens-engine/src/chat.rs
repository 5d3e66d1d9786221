//! Conversations.

use crate::{EngineError, Image, Prompt};
use monolens_models::Model;
use monolens_models::prompt::{Conversation, place_images};

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

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// Its text. `<image>` marks where an image goes; images without a mark go in front (spec §10).
    pub text: String,
    /// Its images, in order.
    pub images: Vec<Image>,
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
    pub fn ask(&mut self, text: impl Into<String>, images: Vec<Image>) {
        self.messages.push(Message { role: Role::User, text: text.into(), images });
    }

    /// The prompt that asks the model for the next message. It needs no device, so any thread can make it.
    ///
    /// # Errors
    /// A conversation that makes no sense, or whose `<image>` marks and images differ in number.
    pub fn prompt(&self, model: &Model) -> Result<Prompt, EngineError> {
        let (text, images) = self.prompt_text()?;
        Prompt::of_text(model, text, images)
    }
}

impl Chat {
    /// The prompt's text (spec §10), `<image>` for each image, and the images in the order of their marks.
    ///
    /// Messages of one role in a row count as one. If the last message is the assistant's, the prompt ends with it, so
    /// that the model goes on where it stopped.
    pub(crate) fn prompt_text(&self) -> Result<(String, Vec<Image>), EngineError> {
        let mut system = None;
        let mut turns: Vec<(String, Option<String>)> = Vec::new();
        for message in &self.messages {
            match (message.role, turns.last_mut()) {
                (Role::System, None) => join(system.get_or_insert_default(), &message.text),
                (Role::System, Some(_)) => {
                    return Err(EngineError::Chat("a system message can only come first"));
                }
                (Role::User, Some((question, None))) => {
                    join(question, &place_images(&message.text, message.images.len()));
                }
                (Role::User, _) => {
                    turns.push((place_images(&message.text, message.images.len()), None));
                }
                (Role::Assistant, Some((_, answer))) => join(answer.get_or_insert_default(), &message.text),
                (Role::Assistant, None) => {
                    return Err(EngineError::Chat("a conversation begins with a question"));
                }
            }
            if message.role != Role::User && !message.images.is_empty() {
                return Err(EngineError::Chat("only the user's messages can have images"));
            }
        }
        let Some((question, answer)) = turns.pop() else {
            return Err(EngineError::Chat("there is no question"));
        };
        if question.trim().is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        let mut conversation = system.map_or_else(Conversation::new, Conversation::with_system);
        turns
            .into_iter()
            .for_each(|(question, answer)| conversation.push(question, answer.unwrap_or_default()));
        let text = conversation.prompt_text(&question) + &answer.unwrap_or_default();
        let images = self.messages.iter().flat_map(|message| message.images.iter().cloned()).collect();
        Ok((text, images))
    }
}

fn join(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(messages: &[(Role, &str)]) -> Result<String, EngineError> {
        let messages = messages.iter().map(|&(role, text)| Message::new(role, text)).collect();
        Chat { messages }.prompt_text().map(|(text, _)| text)
    }

    #[test]
    fn messages_become_the_official_template() {
        use Role::{Assistant, System, User};
        let got = text(&[(System, "s"), (User, "a"), (Assistant, "b"), (User, "c")]).unwrap();
        let expected = "<|im_start|>system\ns<|im_end|><|im_start|>user\na<|im_end|><|im_start|>assistant\nb<|im_end|>\
                        <|im_start|>user\nc<|im_end|><|im_start|>assistant\n";
        assert_eq!(got, expected);
    }

    #[test]
    fn an_answer_at_the_end_is_gone_on_with() {
        let got = text(&[(Role::User, "a"), (Role::Assistant, "b")]).unwrap();
        assert!(got.ends_with("<|im_start|>assistant\nb"), "{got}");
        assert!(got.starts_with("<|im_start|>system\n你是"), "{got}");
    }

    #[test]
    fn conversations_that_make_no_sense_are_refused() {
        use Role::{Assistant, System, User};
        for bad in [
            &[][..],
            &[(System, "s")],
            &[(Assistant, "b"), (User, "a")],
            &[(User, "a"), (System, "s")],
            &[(User, "  ")],
        ] {
            assert!(text(bad).is_err(), "{bad:?}");
        }
    }
}
