//! Conversations.

use crate::{EngineError, Image, Prompt};
use monolens_models::Model;
use monolens_models::prompt::{Conversation, Part, Turn, place_images};
use monolens_models::tokenizer::Tokenizer;

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
    /// Of an answer the token ids that the model gave, where they are known. A sampled text may be cut into tokens in
    /// another way; where these say the text, the next prompt has them, so that none of it is computed again.
    pub ids: Vec<u32>,
}

impl Message {
    /// A message without images.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into(), images: Vec::new(), ids: Vec::new() }
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
        self.messages.push(Message { images, ..Message::new(Role::User, text) });
    }

    /// The prompt that asks the model for the next message. It needs no device, so any thread can make it.
    ///
    /// # Errors
    /// A conversation that makes no sense, or whose `<image>` marks and images differ in number.
    pub fn prompt(&self, model: &Model) -> Result<Prompt, EngineError> {
        let (parts, images) = self.parts(model.tokenizer())?;
        Prompt::of_parts(model, parts, images)
    }

    /// The prompt's parts (spec §10), `<image>` for each image, and the images in the order of their marks.
    ///
    /// Messages of one role in a row count as one. If the last message is the assistant's, the prompt ends with it, so
    /// that the model goes on where it stopped.
    fn parts(&self, tokenizer: &Tokenizer) -> Result<(Vec<Part>, Vec<Image>), EngineError> {
        let mut system = None;
        let mut turns: Vec<(String, Vec<&Message>)> = Vec::new();
        for message in &self.messages {
            match (message.role, turns.last_mut()) {
                (Role::System, None) => join(system.get_or_insert_default(), &message.text),
                (Role::System, Some(_)) => {
                    return Err(EngineError::Chat("a system message can only come first"));
                }
                (Role::User, Some((question, answers))) if answers.is_empty() => {
                    join(question, &place_images(&message.text, message.images.len()));
                }
                (Role::User, _) => {
                    turns.push((place_images(&message.text, message.images.len()), Vec::new()));
                }
                (Role::Assistant, Some((_, answers))) => answers.push(message),
                (Role::Assistant, None) => {
                    return Err(EngineError::Chat("a conversation begins with a question"));
                }
            }
            if message.role != Role::User && !message.images.is_empty() {
                return Err(EngineError::Chat("only the user's messages can have images"));
            }
        }
        let Some((question, begun)) = turns.pop() else {
            return Err(EngineError::Chat("there is no question"));
        };
        if question.trim().is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        let mut conversation = system.map_or_else(Conversation::new, Conversation::with_system);
        let turn = |(question, answers): (String, Vec<&Message>)| {
            let answer = said(&answers, tokenizer);
            Turn { question, answer }
        };
        conversation.turns = turns.into_iter().map(turn).collect();
        let mut parts = conversation.prompt(&question);
        match (parts.last_mut(), said(&begun, tokenizer)) {
            (Some(Part::Text(prompt)), Part::Text(answer)) => prompt.push_str(&answer),
            (_, answer) => parts.push(answer),
        }
        let images = self.messages.iter().flat_map(|message| message.images.iter().cloned()).collect();
        Ok((parts, images))
    }
}

/// What these messages of the model said.
fn said(messages: &[&Message], tokenizer: &Tokenizer) -> Part {
    if let [Message { ids, text, .. }] = messages
        && !ids.is_empty()
        && is_plain(ids, tokenizer)
        // Without tags or with them. They may be another model's, or somebody changed the text.
        && [true, false].iter().any(|&skip| tokenizer.decode_raw(ids, skip).trim() == text.trim())
    {
        return Part::Ids(ids.clone());
    }
    let mut text = String::new();
    messages.iter().for_each(|message| join(&mut text, &message.text));
    Part::Text(text)
}

/// Whether none of these tokens is one that the prompt's own structure is made of.
fn is_plain(ids: &[u32], tokenizer: &Tokenizer) -> bool {
    let special = tokenizer.special();
    let mut structure = special.stop_ids().into_iter().chain([special.img_context]);
    !structure.any(|id| ids.contains(&id))
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

    fn tokenizer() -> Tokenizer {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/tiny-tokenizer");
        Tokenizer::open(std::path::Path::new(folder)).unwrap()
    }

    fn parts(messages: Vec<Message>) -> Result<Vec<Part>, EngineError> {
        Chat { messages }.parts(&tokenizer()).map(|(parts, _)| parts)
    }

    fn text(messages: &[(Role, &str)]) -> Result<String, EngineError> {
        let parts = parts(messages.iter().map(|&(role, text)| Message::new(role, text)).collect())?;
        let [Part::Text(text)] = &parts[..] else { panic!("{parts:?}") };
        Ok(text.clone())
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
    fn an_answer_stands_in_the_prompt_as_the_ids_that_the_model_gave() {
        let tokenizer = tokenizer();
        let ids_of = |text: &str| tokenizer.encode(text).unwrap()[1..].to_vec();
        let question = || Message::new(Role::User, "a");
        let answer =
            |text: &str, ids: &[u32]| Message { ids: ids.into(), ..Message::new(Role::Assistant, text) };
        // Letter by letter, which is not how the text is cut into tokens.
        let own: Vec<u32> = "the box".chars().flat_map(|c| ids_of(&c.to_string())).collect();
        assert_ne!(own, ids_of("the box"));
        let got = parts(vec![question(), answer("the box", &own), question()]).unwrap();
        assert!(matches!(&got[..], [Part::Text(_), Part::Ids(ids), Part::Text(_)] if *ids == own), "{got:?}");
        // One that is gone on with too, and one whose tags are not in the text.
        let got = parts(vec![question(), answer("the box", &own)]).unwrap();
        assert!(matches!(&got[..], [Part::Text(_), Part::Ids(_)]), "{got:?}");
        let tagged = [ids_of("<ref>"), own.clone(), ids_of("</ref>")].concat();
        for text in ["the box", "<ref>the box</ref>"] {
            let got = parts(vec![question(), answer(text, &tagged), question()]).unwrap();
            assert!(matches!(&got[..], [_, Part::Ids(ids), _] if *ids == tagged), "{got:?}");
        }
        // Not where they say something else or would break the template, nor for two answers in a row.
        let broken = [own.clone(), ids_of("<|im_end|>")].concat();
        let (wrong, broken) = (answer("the fox", &own), answer("the box<|im_end|>", &broken));
        for answers in [vec![wrong], vec![broken], vec![answer("the box", &own), answer("the box", &own)]] {
            let got = parts([vec![question()], answers, vec![question()]].concat()).unwrap();
            assert!(matches!(&got[..], [Part::Text(_)]), "{got:?}");
        }
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
