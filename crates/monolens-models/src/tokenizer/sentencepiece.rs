//! `tokenizer.model`: a sentencepiece BPE model, read and applied (spec §9).
//!
//! The `tokenizers` crate's BPE ranks *pairs*: two ways to split one piece get two ranks, so ties
//! that sentencepiece breaks by position are broken by rank there, and pieces that must never merge
//! cannot be said. Both differ in the ids of some texts; hence the merge loop of sentencepiece here.

use super::TokenizerError;
use super::proto::{Field, Message};
use aho_corasick::{AhoCorasick, MatchKind};
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

const FILE: &str = "tokenizer.model";

/// Sentencepiece's stand-in for a space.
pub(crate) const SPACE: char = '\u{2581}';

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte(u8),
}

/// One entry of the vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Piece {
    pub text: String,
    pub score: f32,
    pub kind: PieceKind,
}

/// The vocabulary and its merge rule.
pub(crate) struct SentencePiece {
    pieces: Vec<Piece>,
    ids: HashMap<String, u32>,
    byte_ids: [u32; 256],
    user_defined: Option<AhoCorasick>,
}

impl SentencePiece {
    /// Parses the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, TokenizerError> {
        let mut pieces = Vec::new();
        let mut byte_fallback = false;
        for field in Message::new(bytes) {
            match field.map_err(malformed)? {
                (1, Field::Bytes(piece)) => pieces.push(read_piece(piece)?),
                (2, Field::Bytes(trainer)) => byte_fallback = read_trainer(trainer)?,
                (3, Field::Bytes(normalizer)) => check_normalizer(normalizer)?,
                _ => {}
            }
        }
        if !byte_fallback {
            return Err(unsupported("byte_fallback", "none"));
        }
        Self::new(pieces)
    }

    fn new(pieces: Vec<Piece>) -> Result<Self, TokenizerError> {
        let mut ids = HashMap::with_capacity(pieces.len());
        let mut byte_ids = [None; 256];
        for (id, piece) in (0u32..).zip(&pieces) {
            let named = matches!(piece.kind, PieceKind::Normal | PieceKind::UserDefined);
            if named && ids.insert(piece.text.clone(), id).is_some() {
                return Err(unsupported("every piece once", format!("`{}` twice", piece.text)));
            }
            if let PieceKind::Byte(byte) = piece.kind {
                byte_ids[usize::from(byte)] = Some(id);
            }
        }
        let mut bytes = [0; 256];
        for (byte, id) in byte_ids.iter().enumerate() {
            bytes[byte] = id.ok_or_else(|| unsupported("256 byte pieces", format!("none for {byte}")))?;
        }
        let words: Vec<&str> = pieces
            .iter()
            .filter(|piece| piece.kind == PieceKind::UserDefined && !piece.text.is_empty())
            .map(|piece| piece.text.as_str())
            .collect();
        let user_defined = if words.is_empty() { None } else { Some(leftmost_longest(&words)?) };
        Ok(SentencePiece { pieces, ids, byte_ids: bytes, user_defined })
    }

    /// All pieces; the index is the id.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Appends the ids of a stretch of text without added tokens.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let text = text.replace(' ', "\u{2581}");
        let mut symbols = self.split(&text);
        self.merge(&text, &mut symbols);
        let mut at = if symbols.is_empty() { NONE } else { 0 };
        while at != NONE {
            let symbol = &symbols[at];
            let piece = &text[symbol.from..symbol.to];
            match self.ids.get(piece) {
                Some(&id) => out.push(id),
                None => out.extend(piece.bytes().map(|byte| self.byte_ids[usize::from(byte)])),
            }
            at = symbol.next;
        }
    }

    /// Code points, but user-defined pieces whole.
    fn split(&self, text: &str) -> Vec<Symbol> {
        let mut symbols: Vec<Symbol> = Vec::with_capacity(text.len());
        let mut start = 0;
        if let Some(finder) = &self.user_defined {
            for found in finder.find_iter(text) {
                push_letters(text, start..found.start(), &mut symbols);
                push(found.range(), true, &mut symbols);
                start = found.end();
            }
        }
        push_letters(text, start..text.len(), &mut symbols);
        if let Some(last) = symbols.last_mut() {
            last.next = NONE;
        }
        symbols
    }

    /// Merges the pair of highest score, leftmost on ties, until no pair is a piece.
    fn merge(&self, text: &str, symbols: &mut [Symbol]) {
        let mut heap = BinaryHeap::new();
        for left in 1..symbols.len() {
            heap.extend(self.candidate(text, symbols, left - 1));
        }
        while let Some(best) = heap.pop() {
            let Reverse(left) = best.left;
            let right = symbols[left].next;
            let stale = symbols[left].to == symbols[left].from
                || right == NONE
                || symbols[right].to != best.end
                || symbols[left].from != best.start;
            if stale {
                continue;
            }
            symbols[left].to = symbols[right].to;
            symbols[right].to = symbols[right].from;
            let next = symbols[right].next;
            symbols[left].next = next;
            if next != NONE {
                symbols[next].prev = left;
                heap.extend(self.candidate(text, symbols, left));
            }
            let prev = symbols[left].prev;
            if prev != NONE {
                heap.extend(self.candidate(text, symbols, prev));
            }
        }
    }

    /// The pair that starts at symbol `left`, if together it is a piece.
    fn candidate(&self, text: &str, symbols: &[Symbol], left: usize) -> Option<Candidate> {
        let first = &symbols[left];
        let second = symbols.get(first.next)?;
        if first.frozen || second.frozen {
            return None;
        }
        let id = *self.ids.get(&text[first.from..second.to])?;
        Some(Candidate {
            score: self.pieces[id as usize].score,
            left: Reverse(left),
            start: first.from,
            end: second.to,
        })
    }
}

const NONE: usize = usize::MAX;

/// A stretch of the text in a linked list; empty once merged into its left neighbour.
struct Symbol {
    from: usize,
    to: usize,
    prev: usize,
    next: usize,
    frozen: bool,
}

fn push(range: Range<usize>, frozen: bool, symbols: &mut Vec<Symbol>) {
    let at = symbols.len();
    symbols.push(Symbol {
        from: range.start,
        to: range.end,
        prev: at.checked_sub(1).unwrap_or(NONE),
        next: at + 1,
        frozen,
    });
}

fn push_letters(text: &str, range: Range<usize>, symbols: &mut Vec<Symbol>) {
    for (at, letter) in text[range.clone()].char_indices() {
        let from = range.start + at;
        push(from..from + letter.len_utf8(), false, symbols);
    }
}

struct Candidate {
    score: f32,
    left: Reverse<usize>,
    start: usize,
    end: usize,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.left.cmp(&other.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// A finder of the leftmost and there the longest of `words`.
pub(crate) fn leftmost_longest(words: &[&str]) -> Result<AhoCorasick, TokenizerError> {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(words)
        .map_err(|error| TokenizerError::Library(error.to_string()))
}

fn malformed(_: super::proto::Malformed) -> TokenizerError {
    unsupported("a sentencepiece model", "a malformed or truncated file")
}

fn unsupported(expected: impl Into<String>, got: impl Into<String>) -> TokenizerError {
    TokenizerError::file(FILE, expected, got)
}

fn read_piece(bytes: &[u8]) -> Result<Piece, TokenizerError> {
    let mut text = String::new();
    let mut score = 0f32;
    let mut kind = 1;
    for field in Message::new(bytes) {
        match field.map_err(malformed)? {
            (1, Field::Bytes(bytes)) => {
                text = String::from_utf8(bytes.to_vec())
                    .map_err(|_| unsupported("pieces in UTF-8", format!("{bytes:?}")))?;
            }
            (2, Field::Fixed32(bits)) => score = f32::from_bits(bits),
            (3, Field::Int(value)) => kind = value,
            _ => {}
        }
    }
    if !score.is_finite() {
        return Err(unsupported("finite scores", format!("{score} of `{text}`")));
    }
    let kind = match kind {
        1 => PieceKind::Normal,
        2 => PieceKind::Unknown,
        3 => PieceKind::Control,
        4 => PieceKind::UserDefined,
        5 => PieceKind::Unused,
        6 => PieceKind::Byte(
            byte_of(&text)
                .ok_or_else(|| unsupported("byte pieces `<0x00>` to `<0xFF>`", format!("`{text}`")))?,
        ),
        other => return Err(unsupported("piece types 1 to 6", other.to_string())),
    };
    // `+ 0.0` turns the -0.0 that such files contain into 0.0: equal scores, for total_cmp too.
    Ok(Piece { text, score: score + 0.0, kind })
}

/// The byte that `<0xE4>` stands for.
pub(crate) fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

/// Whether the model falls back to bytes; refuses what is no BPE.
fn read_trainer(bytes: &[u8]) -> Result<bool, TokenizerError> {
    let mut kind = 1;
    let mut byte_fallback = false;
    for field in Message::new(bytes) {
        match field.map_err(malformed)? {
            (3, Field::Int(value)) => kind = value,
            (35, Field::Int(value)) => byte_fallback = value != 0,
            _ => {}
        }
    }
    if kind != 2 {
        return Err(unsupported("a BPE model (model_type 2)", kind.to_string()));
    }
    Ok(byte_fallback)
}

/// Refuses any normalisation but identity (spec §9).
fn check_normalizer(bytes: &[u8]) -> Result<(), TokenizerError> {
    let (mut table, mut prefix, mut squeeze, mut escape) = (0, true, true, true);
    for field in Message::new(bytes) {
        match field.map_err(malformed)? {
            (2, Field::Bytes(map)) => table = map.len(),
            (3, Field::Int(value)) => prefix = value != 0,
            (4, Field::Int(value)) => squeeze = value != 0,
            (5, Field::Int(value)) => escape = value != 0,
            _ => {}
        }
    }
    if table > 0 || prefix || squeeze || !escape {
        return Err(unsupported(
            "identity normalisation without dummy prefix, spaces kept and escaped",
            format!(
                "table of {table} bytes, add_dummy_prefix {prefix}, remove_extra_whitespaces {squeeze}, escape_whitespaces {escape}"
            ),
        ));
    }
    Ok(())
}
