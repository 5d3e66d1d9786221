//! Text as it is generated.

use super::Tokenizer;
use super::bytes::ByteRun;
use super::decode;

/// Turns ids into text one at a time, holding back incomplete UTF-8.
///
/// What it gives out, concatenated, equals [`Tokenizer::decode_raw`] of all the ids.
#[derive(Debug, Clone, Default)]
pub struct StreamDecoder {
    run: ByteRun,
    skip_special: bool,
}

impl StreamDecoder {
    /// A decoder at the start of an answer; `skip_special` drops special tokens, tags included.
    pub fn new(skip_special: bool) -> Self {
        StreamDecoder { run: ByteRun::default(), skip_special }
    }

    /// The text that is certain now that `id` is known; often one word, sometimes nothing.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        let mut out = String::new();
        decode::push_raw(&tokenizer.vocab, id, self.skip_special, &mut self.run, &mut out);
        out
    }

    /// What was held back, each byte as U+FFFD: the answer ended within a character.
    pub fn finish(&mut self) -> String {
        let mut out = String::new();
        self.run.finish(&mut out);
        out
    }

    /// Whether bytes of an incomplete character are held back.
    pub fn is_waiting(&self) -> bool {
        self.run.is_waiting()
    }
}
