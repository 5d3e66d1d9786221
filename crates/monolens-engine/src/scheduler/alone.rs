//! One sequence with the device to itself, while the others wait: for looking inside.

use super::{Scheduler, adopt, grant_places};
use crate::EngineError;
use crate::kv::pages_for;
use crate::sequence::Sequence;

/// A sequence that has the device to itself: see [`Scheduler::begin_alone`].
pub(crate) struct Alone {
    /// The sequence.
    pub sequence: Sequence,
}

impl Alone {
    /// Its tokens whose keys and values are there.
    pub fn computed(&self) -> usize {
        self.sequence.computed
    }
}

impl Scheduler {
    /// Gives one sequence all pages it needs while the others wait, until [`Scheduler::end_alone`]. Tokens before
    /// `reusable` may come from the prefix cache.
    pub fn begin_alone(&mut self, mut sequence: Sequence, reusable: usize) -> Result<(), EngineError> {
        self.preempt_all();
        if self.limits.prefix_cache {
            adopt(&mut sequence, &mut self.pool, &self.rope, reusable);
        }
        while sequence.pages.len() < pages_for(sequence.tokens().len()) {
            let Some(page) = self.pool.allocate() else {
                self.give_back(sequence);
                return Err(EngineError::Internal("the pool is smaller than the context"));
            };
            sequence.pages.push(page);
        }
        self.alone = Some(Alone { sequence });
        Ok(())
    }

    /// The sequence that has the device to itself.
    pub fn alone(&self) -> Option<&Alone> {
        self.alone.as_ref()
    }

    /// Gives the tiles of its next rows their places; returns how many rows can run.
    pub fn alone_places(&mut self, rows: usize) -> usize {
        let Some(alone) = &mut self.alone else { return 0 };
        let rows = rows.min(alone.sequence.pending());
        grant_places(&mut alone.sequence, rows, &mut self.places)
    }

    /// Notes that its next rows are computed.
    pub fn alone_done(&mut self, rows: usize) {
        let Some(alone) = &mut self.alone else { return };
        alone.sequence.computed += rows;
        alone.sequence.take_done_places().into_iter().for_each(|place| self.places.release(place));
    }

    /// The others may go on.
    pub fn end_alone(&mut self) {
        if let Some(alone) = self.alone.take() {
            self.give_back(alone.sequence);
        }
    }
}
