//! From the scheduler's choice to a packed batch and to tiles for the vision program.

use crate::EngineError;
use crate::scheduler::{Key, Missing, Scheduler, Work};
use crate::sequence::Sequence;
use monolens_graph::batch::{Batch, Chunk, NO_VISUAL, SamplingRow};
use monolens_models::Rope;

/// A tile's pixels and its place in the visual state.
pub(crate) type PlacedTile<'a> = (&'a [u8], usize);

/// The batch of this work. A sequence whose last token is among its rows is sampled with what `sampling` says.
pub(crate) fn pack<'r>(
    scheduler: &Scheduler,
    work: &[Work],
    vocab: usize,
    sampling: impl Fn(Key) -> Option<(SamplingRow, &'r [u32])>,
) -> Result<Batch, EngineError> {
    let mut rows = Vec::with_capacity(work.len());
    for w in work {
        let sequence = scheduler.get(w.key).ok_or(EngineError::Internal("work without a sequence"))?;
        rows.push((sequence, Rows::of(sequence, w.rows, scheduler.rope())?));
    }
    let chunks: Vec<Chunk<'_>> = work
        .iter()
        .zip(&rows)
        .map(|(w, (sequence, rows))| {
            let mut chunk = rows.chunk(sequence, w.rows);
            if w.rows == sequence.pending() {
                let (sample, seen) = sampling(w.key).unwrap_or((SamplingRow::GREEDY, &[]));
                chunk.sample = Some(sample);
                chunk.seen = seen;
            }
            chunk
        })
        .collect();
    Ok(Batch::pack(&chunks, vocab))
}

/// What a chunk borrows beside its sequence.
pub(crate) struct Rows {
    visual: Vec<u32>,
    rope: Vec<f32>,
}

impl Rows {
    /// Of the next `rows` tokens of a sequence, whose tiles must have their places.
    pub fn of(sequence: &Sequence, rows: usize, rope: &Rope) -> Result<Self, EngineError> {
        let (from, to) = (sequence.computed, sequence.computed + rows);
        let visual = (from..to).map(|at| visual_slot(sequence, at)).collect::<Option<Vec<u32>>>();
        let visual = visual.ok_or(EngineError::Internal("a visual token whose tile has no place"))?;
        Ok(Self { visual, rope: sequence.rotations(from, to, rope) })
    }

    /// The chunk, without sampling.
    pub fn chunk<'a>(&'a self, sequence: &'a Sequence, rows: usize) -> Chunk<'a> {
        Chunk {
            ids: &sequence.tokens()[sequence.computed..sequence.computed + rows],
            visual: &self.visual,
            start: sequence.computed,
            pages: &sequence.pages,
            rope: &self.rope,
            ..Chunk::default()
        }
    }
}

fn visual_slot(sequence: &Sequence, position: usize) -> Option<u32> {
    let number = sequence.visual(position);
    if number == NO_VISUAL {
        return Some(NO_VISUAL);
    }
    let (tile, token) = sequence.tiles.place(number);
    let place = sequence.held.get(&tile)?;
    Some((place * sequence.tiles.tokens_per_tile() + token) as u32)
}

/// The pixels of a tile and its place.
pub(crate) fn tile(sequence: &Sequence, missing: Missing) -> Result<PlacedTile<'_>, EngineError> {
    let pixels = sequence.tiles.pixels(missing.tile);
    Ok((pixels.ok_or(EngineError::Internal("a tile without pixels"))?, missing.place))
}
