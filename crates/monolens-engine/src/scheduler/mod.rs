//! Which rows of which sequence run in the next step, and on which pages.
//!
//! Rules, in this order:
//! 1. Every running sequence that waits only for its next token gets its row: answers go on while prompts are read.
//! 2. Prompts are read in order of arrival, as many rows a step as the device does in short time, routed token by token; a step's chunk ends early
//!    where the visual state has no place for the next tile.
//! 3. Sequences are admitted in order of arrival, when the pages for their whole prompt are there; nobody overtakes.
//! 4. When pages run out, the running sequence that arrived last gives its own back and waits. The one that arrived
//!    first is never touched, and it always fits: so everyone's turn comes.

mod alone;

pub(crate) use alone::Alone;

use crate::kv::{PagePool, pages_for};
use crate::sequence::Sequence;
use crate::visual::{PlaceId, Places};
use monolens_graph::batch::PAGE_SIZE;
use monolens_models::Rope;
use std::collections::BTreeMap;

/// Names a sequence; smaller is earlier.
pub(crate) type Key = u64;

/// Limits that the device's programs and states were made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Sequences that run at once.
    pub sequences: usize,
    /// Places for tiles in the visual state.
    pub places: usize,
    /// Whether beginnings of earlier prompts are reused.
    pub prefix_cache: bool,
}

/// Rows of one sequence in a step: its next `rows` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Whose.
    pub key: Key,
    /// How many.
    pub rows: usize,
    /// Tokens before them that were found in the prefix cache since the last step.
    pub reused: usize,
}

/// A sequence that was admitted in this step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Which.
    pub key: Key,
    /// Tokens that the prefix cache had.
    pub reused: usize,
    /// Tiles that must go through the vision part.
    pub tiles: usize,
}

/// A tile that has to go through the vision part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Whose.
    pub key: Key,
    /// Which of its tiles.
    pub tile: usize,
    /// Where its embeddings go.
    pub place: PlaceId,
}

/// The state of all sequences, their pages and places.
pub(crate) struct Scheduler {
    limits: Limits,
    rope: Rope,
    pool: PagePool,
    places: Places,
    running: BTreeMap<Key, Sequence>,
    waiting: BTreeMap<Key, Sequence>,
    preemptions: u64,
    alone: Option<Alone>,
}

impl Scheduler {
    /// Nothing to do, with a pool of `pages` pages.
    pub fn new(limits: Limits, pages: usize, rope: Rope) -> Self {
        Self {
            limits,
            rope,
            pool: PagePool::new(pages),
            places: Places::new(limits.places, limits.prefix_cache),
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            preemptions: 0,
            alone: None,
        }
    }

    /// The pool.
    pub fn pool(&self) -> &PagePool {
        &self.pool
    }

    /// Sequences that gave their pages back and had to start over.
    pub fn preemptions(&self) -> u64 {
        self.preemptions
    }

    /// Number of running and of waiting sequences.
    pub fn counts(&self) -> (usize, usize) {
        (self.running.len(), self.waiting.len())
    }

    /// The rotations.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// Adds a sequence.
    pub fn add(&mut self, key: Key, sequence: Sequence) {
        self.waiting.insert(key, sequence);
    }

    /// A sequence, running or waiting.
    pub fn get(&self, key: Key) -> Option<&Sequence> {
        self.running.get(&key).or_else(|| self.waiting.get(&key))
    }

    /// A running sequence.
    pub fn running_mut(&mut self, key: Key) -> Option<&mut Sequence> {
        self.running.get_mut(&key)
    }

    /// Takes a sequence out; its pages stay in the prefix cache.
    pub fn remove(&mut self, key: Key) {
        if let Some(sequence) = self.running.remove(&key) {
            self.give_back(sequence);
        }
        self.waiting.remove(&key);
    }

    fn give_back(&mut self, mut sequence: Sequence) -> Sequence {
        let full = sequence.computed / PAGE_SIZE;
        // Behind pages that are not known nobody would find it.
        let is_tail = !sequence.computed.is_multiple_of(PAGE_SIZE) && sequence.published == full;
        if is_tail && self.limits.prefix_cache {
            self.pool.release_all(sequence.pages.drain(full + 1..));
            let before = full.checked_sub(1).map(|page| sequence.key(page, &self.rope));
            let rows = (full * PAGE_SIZE..sequence.computed).map(|at| sequence.row(at, &self.rope)).collect();
            if let Some(page) = sequence.pages.pop() {
                self.pool.release_tail(page, before, rows);
            }
        }
        self.pool.release_all(sequence.pages.iter().copied());
        sequence.held.values().for_each(|&place| self.places.release(place));
        sequence.reset();
        sequence
    }

    /// Every running sequence gives its pages and places back and waits.
    pub fn preempt_all(&mut self) {
        self.end_alone();
        while let Some(key) = self.running.keys().next_back().copied() {
            self.preempt(key);
        }
    }

    /// As [`Scheduler::preempt_all`], and nothing in the pages counts any more: the device is another.
    pub fn start_over(&mut self, pages: usize, limits: Limits) {
        self.preempt_all();
        self.limits = limits;
        self.pool = PagePool::new(pages);
        self.places = Places::new(limits.places, limits.prefix_cache);
    }

    /// Drops the prefix cache and the embeddings that nobody waits for.
    pub fn forget_prefixes(&mut self) {
        self.pool.forget_all();
        self.places.forget_idle();
        self.running.values_mut().for_each(|sequence| sequence.published = 0);
    }

    fn preempt(&mut self, key: Key) {
        if let Some(sequence) = self.running.remove(&key) {
            let sequence = self.give_back(sequence);
            self.waiting.insert(key, sequence);
            self.preemptions += 1;
        }
    }

    /// The places, to note what is encoded.
    pub fn places_mut(&mut self) -> &mut Places {
        &mut self.places
    }

    /// The tiles of these sequences that have a place but no embeddings yet: each place once, with its tile.
    pub fn tiles_to_encode<'a>(&self, sequences: impl Iterator<Item = (Key, &'a Sequence)>) -> Vec<Missing> {
        let mut missing: Vec<Missing> = Vec::new();
        for (key, sequence) in sequences {
            for (&tile, &place) in &sequence.held {
                if !self.places.is_encoded(place) && missing.iter().all(|m| m.place != place) {
                    missing.push(Missing { key, tile, place });
                }
            }
        }
        missing
    }

    /// Admits sequences while there is room for them.
    pub fn admit(&mut self) -> Vec<Admitted> {
        // Left over if someone dropped an inspection halfway.
        self.end_alone();
        let mut admitted = Vec::new();
        while self.running.len() < self.limits.sequences {
            let Some((&key, sequence)) = self.waiting.iter_mut().next() else { break };
            let promised: usize = self.running.values().map(promised_pages).sum();
            let needed = needed_pages(sequence, &self.pool, &self.rope, self.limits.prefix_cache);
            if needed + promised > self.pool.available() && !self.running.is_empty() {
                break;
            }
            let Some(mut sequence) = self.waiting.remove(&key) else { break };
            if self.limits.prefix_cache {
                adopt(&mut sequence, &mut self.pool, &self.rope, usize::MAX);
            }
            let missing =
                |&tile: &usize| sequence.tiles.content(tile).is_none_or(|key| !self.places.has(&key));
            let tiles = sequence.tiles_needed().filter(missing).count();
            admitted.push(Admitted { key, reused: sequence.computed, tiles });
            self.running.insert(key, sequence);
        }
        admitted
    }

    /// Chooses the rows of the next step, at most `chunk` of prompts, and gives them pages and places.
    pub fn plan(&mut self, chunk: usize) -> Vec<Work> {
        let mut work = Vec::new();
        let keys: Vec<Key> = self.running.keys().copied().collect();
        let decoding = |s: &Sequence| s.pending() == 1 && s.computed >= s.prompt_len();
        for &key in &keys {
            if self.running.get(&key).is_some_and(decoding) && self.grant_pages(key, 1) {
                work.push(Work { key, rows: 1, reused: 0 });
            }
        }
        let mut budget = chunk;
        for &key in &keys {
            if budget == 0 {
                break;
            }
            let Some(sequence) = self.running.get_mut(&key) else { continue };
            if decoding(sequence) {
                continue;
            }
            let before = sequence.computed;
            if self.limits.prefix_cache {
                // Another sequence may have computed the same since this one was admitted.
                adopt(sequence, &mut self.pool, &self.rope, usize::MAX);
            }
            let reused = sequence.computed - before;
            let wanted = sequence.pending().min(budget);
            let rows = grant_places(sequence, wanted, &mut self.places);
            if rows > 0 && self.grant_pages(key, rows) {
                work.push(Work { key, rows, reused });
                budget -= rows;
            }
        }
        // Granting pages to one may have preempted another that had its rows already.
        work.retain(|w| self.running.contains_key(&w.key));
        work
    }

    /// Pages for the next `rows` tokens of a sequence, taken from those that arrived later if need be.
    fn grant_pages(&mut self, key: Key, rows: usize) -> bool {
        loop {
            let Some(sequence) = self.running.get_mut(&key) else { return false };
            if sequence.pages.len() >= pages_for(sequence.computed + rows) {
                return true;
            }
            match self.pool.allocate() {
                Some(page) => sequence.pages.push(page),
                None => {
                    let Some(last) = self.running.keys().next_back().copied() else { return false };
                    self.preempt(last);
                }
            }
        }
    }

    /// Notes that the rows of `work` are computed.
    pub fn done(&mut self, work: &[Work]) {
        for w in work {
            let Some(sequence) = self.running.get_mut(&w.key) else { continue };
            sequence.computed += w.rows;
            sequence.take_done_places().into_iter().for_each(|place| self.places.release(place));
            if !self.limits.prefix_cache {
                continue;
            }
            while sequence.published < sequence.computed / PAGE_SIZE {
                let page = sequence.published;
                let page_key = sequence.key(page, &self.rope);
                self.pool.publish(sequence.pages[page], page_key);
                sequence.published += 1;
            }
        }
    }
}

/// Pages that a running sequence will still take for the tokens it has and the next one.
fn promised_pages(sequence: &Sequence) -> usize {
    pages_for(sequence.tokens().len() + 1).saturating_sub(sequence.pages.len())
}

/// Available pages that admitting a sequence takes: those of its tokens and the next one, but not those of the prefix
/// cache that someone holds already.
fn needed_pages(sequence: &mut Sequence, pool: &PagePool, rope: &Rope, prefix_cache: bool) -> usize {
    let all = pages_for(sequence.tokens().len() + 1);
    if !prefix_cache {
        return all;
    }
    let held = (0..sequence.reusable() / PAGE_SIZE)
        .map(|page| sequence.key(page, rope))
        .take_while(|key| pool.is_held(key))
        .count();
    all - held
}

/// Takes pages from the prefix cache as far as it goes, up to `most` tokens.
fn adopt(sequence: &mut Sequence, pool: &mut PagePool, rope: &Rope, most: usize) {
    if sequence.computed != sequence.pages.len() * PAGE_SIZE {
        return;
    }
    let most = most.min(sequence.reusable());
    while sequence.computed + PAGE_SIZE <= most {
        let key = sequence.key(sequence.pages.len(), rope);
        let Some(page) = pool.find(&key) else { break };
        sequence.pages.push(page);
        sequence.computed += PAGE_SIZE;
        sequence.published = sequence.pages.len();
    }
    let before = sequence.pages.len().checked_sub(1).map(|page| sequence.key(page, rope));
    let rows = (sequence.computed..most).map(|at| sequence.row(at, rope));
    if let Some((page, rows)) = pool.take_tail(before, rows) {
        sequence.pages.push(page);
        sequence.computed += rows;
    }
}

/// Gives the tiles of the next rows their places; returns how many rows can run.
fn grant_places(sequence: &mut Sequence, rows: usize, places: &mut Places) -> usize {
    let start = sequence.computed;
    for position in start..start + rows {
        let Some(tile) = sequence.tile_of(position) else { continue };
        if sequence.held.contains_key(&tile) {
            continue;
        }
        let place = sequence.tiles.content(tile).and_then(|key| places.take(key));
        let Some(place) = place else { return position - start };
        sequence.held.insert(tile, place);
    }
    rows
}
