//! Ids → text: plainly, or with all the quirks of the official slow tokenizer (spec §9).

use super::bytes::ByteRun;
use super::vocab::{Token, Vocab};

/// Replacements of the official clean-up, in order (spec §9 c).
const CLEAN_UP: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// Concatenates pieces and added tokens as they are; `skip_special` drops the special ones.
pub(crate) fn raw(vocab: &Vocab, ids: &[u32], skip_special: bool) -> String {
    let mut out = String::new();
    let mut run = ByteRun::default();
    for &id in ids {
        push_raw(vocab, id, skip_special, &mut run, &mut out);
    }
    run.finish(&mut out);
    out
}

/// Appends one id's text.
pub(crate) fn push_raw(vocab: &Vocab, id: u32, skip_special: bool, run: &mut ByteRun, out: &mut String) {
    let text = match vocab.token(id) {
        Token::Byte(byte) => return run.push(*byte, out),
        Token::Added { special: true, .. } | Token::Control(_) if skip_special => return,
        Token::Text(text) | Token::Control(text) | Token::Added { text, .. } => text,
        Token::Hole => return,
    };
    run.finish(out);
    out.push_str(text);
}

/// What the official tokenizer's `decode` returns.
pub(crate) fn official(vocab: &Vocab, ids: &[u32], skip_special: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut stretch = Stretch::default();
    for &id in ids {
        match vocab.token(id) {
            Token::Hole => {}
            Token::Control(_) | Token::Added { special: true, .. } if skip_special => {}
            Token::Added { text, joined: true, .. } => {
                parts.extend(stretch.end().filter(|text| !text.is_empty()));
                parts.push(text.clone());
            }
            token => stretch.push(token),
        }
    }
    parts.extend(stretch.end());
    parts.join(" ")
}

/// Tokens between two joined ones.
#[derive(Default)]
struct Stretch {
    started: bool,
    out: String,
    /// Text since the last special token of this stretch.
    pending: String,
    run: ByteRun,
    after_special: bool,
}

impl Stretch {
    fn push(&mut self, token: &Token) {
        self.started = true;
        match token {
            Token::Byte(byte) => {
                self.run.push(*byte, &mut self.pending);
                self.after_special = false;
            }
            Token::Text(text) => {
                self.run.finish(&mut self.pending);
                self.pending.push_str(text);
                self.after_special = false;
            }
            Token::Control(text) | Token::Added { text, .. } => {
                // The official code puts the space before the text that precedes the token.
                if !self.after_special {
                    self.out.push(' ');
                }
                self.flush();
                self.out.push_str(text);
                self.after_special = true;
            }
            Token::Hole => {}
        }
    }

    fn flush(&mut self) {
        self.run.finish(&mut self.pending);
        self.out.push_str(&self.pending);
        self.pending.clear();
    }

    fn end(&mut self) -> Option<String> {
        if !self.started {
            return None;
        }
        self.flush();
        let stretch = std::mem::take(self);
        Some(clean_up(stretch.out))
    }
}

fn clean_up(mut text: String) -> String {
    for (from, to) in CLEAN_UP {
        if text.contains(from) {
            text = text.replace(from, to);
        }
    }
    text
}
