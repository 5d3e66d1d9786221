//! The `internlm2-chat` template (spec §10).

/// The official system message.
pub const SYSTEM_MESSAGE: &str = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。";

/// Stands for one image in questions and in the prompt's text.
pub const IMAGE_PLACEHOLDER: &str = "<image>";

/// A stretch of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text, images as `<image>`.
    Text(String),
    /// Token ids as the model gave them. A sampled answer's text may be cut into tokens in another way, and keys and
    /// values are known for these only.
    Ids(Vec<u32>),
}

/// A finished turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The question, with its `<image>` placeholders.
    pub question: String,
    /// The answer, without `<|im_end|>`.
    pub answer: Part,
}

/// What was said so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// The system message.
    pub system: String,
    /// Finished turns, oldest first.
    pub turns: Vec<Turn>,
}

impl Default for Conversation {
    fn default() -> Self {
        Conversation::new()
    }
}

impl Conversation {
    /// A conversation with the official system message.
    pub fn new() -> Self {
        Self::with_system(SYSTEM_MESSAGE)
    }

    /// A conversation with another system message.
    pub fn with_system(system: impl Into<String>) -> Self {
        Conversation { system: system.into(), turns: Vec::new() }
    }

    /// Adds a finished turn.
    pub fn push(&mut self, question: impl Into<String>, answer: impl Into<String>) {
        self.turns.push(Turn { question: question.into(), answer: Part::Text(answer.into()) });
    }

    /// The prompt that asks `question`, up to where the answer starts.
    pub fn prompt(&self, question: &str) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut text = format!("<|im_start|>system\n{}<|im_end|>", self.system);
        for turn in &self.turns {
            push_user(&mut text, &turn.question);
            match &turn.answer {
                Part::Text(answer) => text.push_str(answer),
                Part::Ids(ids) => {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Ids(ids.clone()));
                }
            }
            text.push_str("<|im_end|>");
        }
        push_user(&mut text, question);
        parts.push(Part::Text(text));
        parts
    }
}

fn push_user(text: &mut String, question: &str) {
    text.push_str("<|im_start|>user\n");
    text.push_str(question);
    text.push_str("<|im_end|><|im_start|>assistant\n");
}
