//! `tokenizer.json`, by the `tokenizers` crate.

use super::TokenizerError;
use super::added::{AddedTokens, TokenizerJson};
use super::sentencepiece::{Piece, PieceKind, byte_of};
use tokenizers::Tokenizer as Library;

const FILE: &str = "tokenizer.json";

/// A library tokenizer and what our decoder needs to know of it.
pub(crate) struct JsonTokenizer {
    library: Library,
}

impl JsonTokenizer {
    /// Parses the file; also gives its pieces and added tokens.
    pub fn parse(
        json: &[u8],
        files: &TokenizerJson,
    ) -> Result<(Self, Vec<Piece>, AddedTokens), TokenizerError> {
        let library = Library::from_bytes(json)
            .map_err(|error| TokenizerError::file(FILE, "a tokenizer", error.to_string()))?;
        let size = library.get_vocab_size(false);
        let pieces: Vec<Piece> = (0..size as u32).map(|id| piece(library.id_to_token(id))).collect();
        let bytes = pieces.iter().filter(|piece| matches!(piece.kind, PieceKind::Byte(_)));
        if bytes.count() != 256 {
            return Err(TokenizerError::file(
                FILE,
                "a vocabulary of sentencepiece make with 256 byte pieces",
                "another",
            ));
        }
        let mut added = AddedTokens::read(files, size as u32)?;
        for (id, token) in library.get_added_tokens_decoder() {
            added.ids.retain(|_, other| *other != id);
            added.ids.insert(token.content, id);
        }
        added.check_range(size as u32)?;
        Ok((JsonTokenizer { library }, pieces, added))
    }

    /// Appends the ids of a text, without any that frame it.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let encoding = self
            .library
            .encode_fast(text, false)
            .map_err(|error| TokenizerError::Library(error.to_string()))?;
        out.extend_from_slice(encoding.get_ids());
        Ok(())
    }
}

fn piece(text: Option<String>) -> Piece {
    let text = text.unwrap_or_default();
    let kind = byte_of(&text).map_or(PieceKind::Normal, PieceKind::Byte);
    Piece { text, score: 0.0, kind }
}
