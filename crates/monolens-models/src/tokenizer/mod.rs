//! The InternLM2 tokenizer: `tokenizer.model` (or `tokenizer.json`), added tokens, decoding (spec §9).

mod added;
mod bytes;
mod decode;
mod error;
#[cfg(feature = "tokenizer-json")]
mod json;
#[cfg(not(target_arch = "wasm32"))]
mod open;
mod proto;
mod sentencepiece;
mod stream;
#[cfg(test)]
mod tests;
mod vocab;

pub use added::TokenizerJson;
pub use error::TokenizerError;
pub use stream::StreamDecoder;

use added::AddedTokens;
use aho_corasick::AhoCorasick;
use sentencepiece::{SentencePiece, leftmost_longest};
use vocab::{Token, Vocab};

/// Longest tokenizer file that is read, in bytes.
pub const MAX_TOKENIZER_BYTES: usize = 64 << 20;

/// Ids of the tokens that prompts and generation need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialIds {
    /// `<s>`, put in front of every prompt.
    pub bos: u32,
    /// `</s>`, a stop id.
    pub eos: u32,
    /// `<|im_start|>`, a stop id.
    pub im_start: u32,
    /// `<|im_end|>`, the stop id.
    pub im_end: u32,
    /// `<img>`.
    pub img_start: u32,
    /// `</img>`.
    pub img_end: u32,
    /// `<IMG_CONTEXT>`: the placeholder of one visual token.
    pub img_context: u32,
}

impl SpecialIds {
    /// Ids that end an answer: `</s>`, `<|im_start|>`, `<|im_end|>` (spec §11).
    pub fn stop_ids(&self) -> [u32; 3] {
        [self.eos, self.im_start, self.im_end]
    }
}

enum Encoder {
    Piece(Box<PieceEncoder>),
    #[cfg(feature = "tokenizer-json")]
    Json(Box<json::JsonTokenizer>),
}

/// Added tokens first, pieces in between.
struct PieceEncoder {
    model: SentencePiece,
    added: AhoCorasick,
    added_ids: Vec<u32>,
}

impl PieceEncoder {
    fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let mut start = 0;
        for found in self.added.find_iter(text) {
            self.model.encode(&text[start..found.start()], ids);
            ids.push(self.added_ids[found.pattern().as_usize()]);
            start = found.end();
        }
        self.model.encode(&text[start..], ids);
    }
}

/// A tokenizer.
pub struct Tokenizer {
    encoder: Encoder,
    pub(crate) vocab: Vocab,
    special: SpecialIds,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.debug_struct("Tokenizer").field("ids", &self.vocab.len()).field("special", &self.special).finish()
    }
}

impl Tokenizer {
    /// From the content of `tokenizer.model` and the JSON files beside it (all optional: without
    /// them the added tokens are those of the official 2B models).
    ///
    /// # Errors
    /// [`TokenizerError::File`] if a file is malformed or asks for another algorithm.
    pub fn from_model(model: &[u8], files: &TokenizerJson) -> Result<Self, TokenizerError> {
        let model = SentencePiece::parse(model)?;
        let added = AddedTokens::read(files, model.pieces().len() as u32)?;
        let vocab = Vocab::new(model.pieces(), &added);
        let words: Vec<&str> = added.ids.keys().map(String::as_str).collect();
        let encoder = PieceEncoder {
            added: leftmost_longest(&words)?,
            added_ids: added.ids.values().copied().collect(),
            model,
        };
        Self::new(Encoder::Piece(Box::new(encoder)), vocab)
    }

    /// From the content of `tokenizer.json` and the JSON files beside it.
    ///
    /// # Errors
    /// [`TokenizerError::File`] if it is malformed or no vocabulary with byte pieces.
    #[cfg(feature = "tokenizer-json")]
    pub fn from_json(json: &[u8], files: &TokenizerJson) -> Result<Self, TokenizerError> {
        let (library, pieces, added) = json::JsonTokenizer::parse(json, files)?;
        let vocab = Vocab::new(&pieces, &added);
        Self::new(Encoder::Json(Box::new(library)), vocab)
    }

    fn new(encoder: Encoder, vocab: Vocab) -> Result<Self, TokenizerError> {
        let id = |token: &'static str| vocab.added(token).ok_or(TokenizerError::NoToken { token });
        let special = SpecialIds {
            bos: id("<s>")?,
            eos: id("</s>")?,
            im_start: id("<|im_start|>")?,
            im_end: id("<|im_end|>")?,
            img_start: id("<img>")?,
            img_end: id("</img>")?,
            img_context: id("<IMG_CONTEXT>")?,
        };
        Ok(Tokenizer { encoder, vocab, special })
    }

    /// Ids of a text: begin-of-sequence, then the text; added tokens in it become their ids.
    ///
    /// # Errors
    /// [`TokenizerError::Library`], with a `tokenizer.json` only.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = vec![self.special.bos];
        self.encode_into(text, &mut ids)?;
        Ok(ids)
    }

    /// Appends a text's ids, without begin-of-sequence.
    ///
    /// # Errors
    /// [`TokenizerError::Library`], with a `tokenizer.json` only.
    pub fn encode_into(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        match &self.encoder {
            Encoder::Piece(encoder) => {
                encoder.encode(text, ids);
                Ok(())
            }
            #[cfg(feature = "tokenizer-json")]
            Encoder::Json(library) => library.encode(text, ids),
        }
    }

    /// Text of ids as they are: no spaces added, nothing cleaned up.
    /// `skip_special` drops `<s>`, `</s>`, `<unk>` and the vision tags, but not the chat tokens.
    pub fn decode_raw(&self, ids: &[u32], skip_special: bool) -> String {
        decode::raw(&self.vocab, ids, skip_special)
    }

    /// Text of ids as the official slow tokenizer's `decode` returns it (spec §9, quirks a to c).
    pub fn decode_official(&self, ids: &[u32], skip_special: bool) -> String {
        decode::official(&self.vocab, ids, skip_special)
    }

    /// The ids of chat tokens and image placeholders.
    pub fn special(&self) -> &SpecialIds {
        &self.special
    }

    /// Id of an added token such as `<ref>`.
    pub fn added_token(&self, text: &str) -> Option<u32> {
        self.vocab.added(text)
    }

    /// A token's own text, for display: bytes as `<0xE4>`, none beyond the vocabulary.
    pub fn token_text(&self, id: u32) -> Option<String> {
        match self.vocab.token(id) {
            Token::Text(text) | Token::Control(text) | Token::Added { text, .. } => Some(text.clone()),
            Token::Byte(byte) => Some(format!("<0x{byte:02X}>")),
            Token::Hole => None,
        }
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.vocab.len()
    }
}
