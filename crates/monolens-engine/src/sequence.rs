//! One conversation turn on its way through the model.

use crate::kv::{PageId, PageKey, Row, TokenKey};
use crate::prompt::Tiles;
use crate::visual::PlaceId;
use monolens_graph::batch::{NO_VISUAL, PAGE_SIZE};
use monolens_models::Rope;
use std::collections::BTreeMap;

/// Identifies the rotation of a forward call over `total` tokens: equal numbers, equal rotations (spec §6).
fn rotation(rope: &Rope, total: usize) -> u64 {
    match rope.stretches_beyond() {
        Some(length) if total > length => total as u64,
        _ => 0,
    }
}

/// A sequence of tokens: a prompt, then what was generated.
#[derive(Debug)]
pub(crate) struct Sequence {
    tokens: Vec<u32>,
    prompt_len: usize,
    /// Per prompt token its visual number or [`NO_VISUAL`].
    visual: Vec<u32>,
    /// Position after the last token of each tile.
    tile_end: Vec<usize>,
    /// The prompt's tiles.
    pub tiles: Tiles,
    /// Places of those tiles that wait in the visual state.
    pub held: BTreeMap<usize, PlaceId>,
    /// Pages, the first `computed` tokens' at least.
    pub pages: Vec<PageId>,
    /// Tokens whose keys and values are in the pages.
    pub computed: usize,
    /// Full pages that are known to the prefix cache.
    pub published: usize,
    keys: Vec<PageKey>,
}

impl Sequence {
    /// A sequence that begins with a prompt.
    pub fn new(tokens: Vec<u32>, visual: Vec<u32>, tiles: Tiles) -> Self {
        let mut tile_end = vec![0; tiles.len()];
        for (position, &number) in visual.iter().enumerate() {
            if let Some(end) = tile_end.get_mut(tiles.place(number).0) {
                *end = position + 1;
            }
        }
        Self {
            prompt_len: tokens.len(),
            tokens,
            visual,
            tile_end,
            tiles,
            held: BTreeMap::new(),
            pages: Vec::new(),
            computed: 0,
            published: 0,
            keys: Vec::new(),
        }
    }

    /// All tokens.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How many of them are the prompt.
    pub fn prompt_len(&self) -> usize {
        self.prompt_len
    }

    /// How many prompt tokens are visual.
    pub fn visual_tokens(&self) -> usize {
        self.visual.iter().filter(|&&v| v != NO_VISUAL).count()
    }

    /// Tokens without keys and values; at least one while it runs.
    pub fn pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Adds a generated token.
    pub fn push(&mut self, id: u32) {
        self.tokens.push(id);
    }

    /// The visual number of a token, or [`NO_VISUAL`]. Generated tokens are text, whatever their id (spec §6).
    pub fn visual(&self, position: usize) -> u32 {
        self.visual.get(position).copied().unwrap_or(NO_VISUAL)
    }

    /// The tile of a token.
    pub fn tile_of(&self, position: usize) -> Option<usize> {
        match self.visual(position) {
            NO_VISUAL => None,
            number => Some(self.tiles.place(number).0),
        }
    }

    /// Tokens of the forward call that computes this position in the official code: the prompt is one call, whatever
    /// the chunks here; each generated token is one.
    pub fn call_length(&self, position: usize) -> usize {
        self.prompt_len.max(position + 1)
    }

    /// Tiles of which some token is not computed yet.
    pub fn tiles_needed(&self) -> impl Iterator<Item = usize> {
        let needed = self.tile_end.iter().enumerate().filter(|&(_, &end)| end > self.computed);
        needed.map(|(tile, _)| tile)
    }

    /// Takes out the places of tiles whose tokens are all computed.
    pub fn take_done_places(&mut self) -> Vec<PlaceId> {
        let computed = self.computed;
        let done: Vec<usize> = self.held.keys().copied().filter(|&t| self.tile_end[t] <= computed).collect();
        done.iter().filter_map(|tile| self.held.remove(tile)).collect()
    }

    /// Tokens that may be taken from the prefix cache: at least one must remain to be computed.
    pub fn reusable(&self) -> usize {
        self.tokens.len().saturating_sub(1)
    }

    /// The key of page `page`, whose tokens must all be known.
    pub fn key(&mut self, page: usize, rope: &Rope) -> PageKey {
        while self.keys.len() <= page {
            let from = self.keys.len() * PAGE_SIZE;
            let rows = (from..from + PAGE_SIZE).map(|at| self.row(at, rope));
            let key = PageKey::chain(self.keys.last(), rows);
            self.keys.push(key);
        }
        self.keys[page]
    }

    /// A token as far as its keys and values go.
    pub fn row(&self, position: usize, rope: &Rope) -> Row {
        let visual = match self.visual(position) {
            NO_VISUAL => None,
            number => self.tiles.key(number),
        };
        let token = visual.unwrap_or(TokenKey::Text(self.tokens[position]));
        (token, rotation(rope, self.call_length(position)))
    }

    /// The rotations of rows `from..to`, as [`monolens_graph::batch::ROPE`].
    pub fn rotations(&self, from: usize, to: usize, rope: &Rope) -> Vec<f32> {
        let prompt = to.min(self.prompt_len);
        let mut rows = rope.rows(from, prompt.saturating_sub(from), self.prompt_len);
        for at in from.max(prompt)..to {
            rows.extend(rope.rows(at, 1, self.call_length(at)));
        }
        rows
    }

    /// Forgets what is computed (the pages must have been released): it starts over.
    pub fn reset(&mut self) {
        self.pages.clear();
        self.held.clear();
        self.computed = 0;
        self.published = 0;
    }
}
