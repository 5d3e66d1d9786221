//! The `internlm2-chat` template (spec §10).

/// The official system message.
pub const SYSTEM_MESSAGE: &str = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。";

/// Stands for one image in questions and in the prompt's text.
pub const IMAGE_PLACEHOLDER: &str = "<image>";

/// A finished turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The question, with its `<image>` placeholders.
    pub question: String,
    /// The answer, without `<|im_end|>`.
    pub answer: String,
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
        self.turns.push(Turn { question: question.into(), answer: answer.into() });
    }

    /// The prompt that asks `question`: text up to where the answer starts, images as `<image>`.
    pub fn prompt_text(&self, question: &str) -> String {
        let mut text = format!("<|im_start|>system\n{}<|im_end|>", self.system);
        for turn in &self.turns {
            push_user(&mut text, &turn.question);
            text.push_str(&turn.answer);
            text.push_str("<|im_end|>");
        }
        push_user(&mut text, question);
        text
    }
}

fn push_user(text: &mut String, question: &str) {
    text.push_str("<|im_start|>user\n");
    text.push_str(question);
    text.push_str("<|im_end|><|im_start|>assistant\n");
}
