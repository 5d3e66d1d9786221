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
            // Pieces that must never merge are listed as added tokens here; they decode as pieces.
            if !token.special && (id as usize) < size {
                continue;
            }
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

#[cfg(test)]
mod tests {
    use crate::test_support::golden;
    use crate::tokenizer::sentencepiece::{PieceKind, SentencePiece};
    use crate::tokenizer::{Tokenizer, TokenizerJson};
    use serde_json::{Value, json};

    /// The tiny tokenizer in the library's format: merges ranked by the score of the merged piece.
    fn tiny_as_json() -> Value {
        let model = SentencePiece::parse(&golden("tiny-tokenizer/tokenizer.model")).unwrap();
        let pieces = model.pieces();
        let normal = |text: &str| pieces.iter().any(|p| p.text == text && p.kind == PieceKind::Normal);
        let mut merges = Vec::new();
        for piece in pieces.iter().filter(|piece| piece.kind == PieceKind::Normal) {
            for (at, _) in piece.text.char_indices().skip(1) {
                let (left, right) = piece.text.split_at(at);
                if normal(left) && normal(right) {
                    merges.push((-piece.score, [left, right]));
                }
            }
        }
        merges.sort_by(|a, b| a.0.total_cmp(&b.0));
        let token = |id: usize, text: &str, special: bool| {
            json!({"id": id, "content": text, "special": special, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false})
        };
        let plain =
            Tokenizer::from_model(&golden("tiny-tokenizer/tokenizer.model"), &TokenizerJson::default())
                .unwrap();
        let mut vocab = serde_json::Map::new();
        let mut added = Vec::new();
        for id in 0..plain.vocab_size() {
            let text = plain.token_text(id as u32).unwrap();
            let piece = pieces.get(id);
            let name = piece.map_or(text.as_str(), |piece| piece.text.as_str());
            if plain.added_token(&text).is_some() {
                added.push(token(id, &text, true));
                if piece.is_some() {
                    vocab.insert(text, json!(id));
                }
                continue;
            }
            if piece.is_some_and(|piece| piece.kind == PieceKind::UserDefined) {
                added.push(token(id, &text, false));
            }
            vocab.insert(name.to_owned(), json!(id));
        }
        json!({
            "version": "1.0", "added_tokens": added,
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
            "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true,
                "vocab": vocab,
                "merges": merges.iter().map(|merge| merge.1).collect::<Vec<_>>()},
        })
    }

    #[test]
    fn a_tokenizer_json_gives_the_same_ids_and_texts() {
        let json = tiny_as_json().to_string();
        let tokenizer = Tokenizer::from_json(json.as_bytes(), &TokenizerJson::default()).unwrap();
        let golden: Value = serde_json::from_slice(&golden("tiny-tokenizer/golden.json")).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(json!(ids), case["ids"], "{text:?}");
            assert_eq!(tokenizer.decode_official(&ids[1..], false), case["decoded"]);
            assert_eq!(tokenizer.decode_official(&ids[1..], true), case["decoded_skip_special"]);
        }
    }

    #[test]
    fn other_vocabularies_are_refused() {
        let json = json!({"version": "1.0", "added_tokens": [],
            "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}});
        let read = Tokenizer::from_json(json.to_string().as_bytes(), &TokenizerJson::default());
        assert!(read.unwrap_err().to_string().contains("byte pieces"));
        assert!(Tokenizer::from_json(b"{}", &TokenizerJson::default()).is_err());
    }
}
