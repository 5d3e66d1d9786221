//! Ids → what they stand for when decoding.

use super::added::AddedTokens;
use super::sentencepiece::{Piece, PieceKind, SPACE};
use std::collections::HashMap;

/// What an id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// Text, spaces already plain.
    Text(String),
    /// One byte of a UTF-8 sequence.
    Byte(u8),
    /// A token without text of its own that is not in the added list.
    Control(String),
    /// An added token.
    Added {
        /// Its text.
        text: String,
        /// Dropped by `skip_special_tokens`.
        special: bool,
        /// Joined to its neighbours by spaces in the official decode; otherwise it stays inside a stretch.
        joined: bool,
    },
    /// An id between tokens.
    Hole,
}

/// All ids of a tokenizer.
#[derive(Debug, Clone)]
pub(crate) struct Vocab {
    tokens: Vec<Token>,
    added: HashMap<String, u32>,
}

impl Vocab {
    /// Lays the added tokens over (and behind) the pieces.
    pub fn new(pieces: &[Piece], added: &AddedTokens) -> Self {
        let mut tokens: Vec<Token> = pieces.iter().map(of_piece).collect();
        for (text, &id) in &added.ids {
            let id = id as usize;
            if tokens.len() <= id {
                tokens.resize(id + 1, Token::Hole);
            }
            let special = added.special.contains(text);
            tokens[id] = Token::Added { text: text.clone(), special, joined: !special || id >= pieces.len() };
        }
        let ids = added.ids.iter();
        Vocab { tokens, added: ids.map(|(text, &id)| (text.clone(), id)).collect() }
    }

    /// Number of ids, holes included.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// What `id` stands for; beyond the end that is nothing.
    pub fn token(&self, id: u32) -> &Token {
        self.tokens.get(id as usize).unwrap_or(&Token::Hole)
    }

    /// The id of an added token.
    pub fn added(&self, text: &str) -> Option<u32> {
        self.added.get(text).copied()
    }
}

fn of_piece(piece: &Piece) -> Token {
    match piece.kind {
        PieceKind::Byte(byte) => Token::Byte(byte),
        PieceKind::Unknown | PieceKind::Control => Token::Control(piece.text.clone()),
        PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused => {
            Token::Text(piece.text.replace(SPACE, " "))
        }
    }
}
