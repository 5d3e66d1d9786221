//! Indices in inputs are checked before a run, so that operators may follow them.

use crate::frame::{Frame, Slice};
use crate::state::States;
use monolens_graph::batch::{self, NO_VISUAL, PAGE_SIZE, ROUTE_BLOCK, RowInfo, SamplingRow};
use monolens_graph::{BackendError, Op};

/// The error that an input of a run does not fit.
pub(crate) fn input_error(
    program: &str,
    what: impl Into<String>,
    expected: impl ToString,
    got: impl ToString,
) -> BackendError {
    BackendError::Input {
        program: program.into(),
        what: what.into(),
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

/// Checks all indices that one node will follow.
pub(crate) fn indices(frame: &Frame<'_>, states: &States) -> Result<(), BackendError> {
    let check = Indices { frame, states };
    match &frame.node.op {
        Op::Embed(op) => {
            let vocabulary = frame.graph.weight(op.table).shape.first().copied().unwrap_or(0);
            check.ids(vocabulary)
        }
        Op::GatherRows(_) => check.below(batch::SAMPLE_ROWS, frame.u32s(1), check.rows(0)),
        Op::StoreRows(_) => check.visual_slots(),
        Op::Rope(_) => check.kv_slots(1),
        Op::QkvRope(op) => {
            check.kv_slots(1)?;
            if op.is_routed() { check.routing() } else { Ok(()) }
        }
        Op::Linear(op) if op.is_routed() => check.routing(),
        Op::GateUp(op) if op.is_routed() => check.routing(),
        Op::Attention(_) => {
            check.pages(4)?;
            check.query_blocks()
        }
        Op::AttentionMap(_) => {
            check.pages(3)?;
            let context = frame.out_sizes().last().copied().unwrap_or(0);
            let positions: Vec<u32> = frame.row_infos(1).iter().map(|r| r.position).collect();
            check.below("positions of an attention map", &positions, context)
        }
        Op::Sample(_) => check.sampling(),
        _ => Ok(()),
    }
}

struct Indices<'c, 'a> {
    frame: &'c Frame<'a>,
    states: &'c States,
}

impl Indices<'_, '_> {
    fn error(&self, what: &str, expected: impl ToString, got: impl ToString) -> BackendError {
        input_error(&self.frame.graph.name, what, expected, got)
    }

    fn below(&self, what: &str, indices: &[u32], limit: usize) -> Result<(), BackendError> {
        match indices.iter().find(|&&i| i as usize >= limit) {
            Some(i) => Err(self.error(what, format!("below {limit}"), i)),
            None => Ok(()),
        }
    }

    /// Rows of input `i`.
    fn rows(&self, i: usize) -> usize {
        self.frame.sizes(i).first().copied().unwrap_or(0)
    }

    fn state_rows(&self, i: usize) -> usize {
        self.frame.state(self.states, i).map_or(0, |s| s.rows)
    }

    fn ids(&self, vocabulary: usize) -> Result<(), BackendError> {
        let rows = self.frame.row_infos(0);
        let routed = self.frame.node.inputs.len() == 3;
        let slots = if routed { self.frame.u32s(1) } else { &[] };
        let visual = |row: usize| slots.get(row).copied().filter(|&slot| slot != NO_VISUAL);
        for (i, row) in rows.iter().enumerate() {
            match visual(i) {
                Some(slot) => self.below(batch::VISUAL_ROWS, &[slot], self.state_rows(2))?,
                None => self.below("token id", &[row.id], vocabulary)?,
            }
        }
        Ok(())
    }

    fn kv_slots(&self, rows: usize) -> Result<(), BackendError> {
        let slots = self.state_rows(rows + 2).min(self.state_rows(rows + 3));
        let used: Vec<u32> = self.frame.row_infos(rows).iter().map(|r| r.kv_slot).collect();
        self.below("KV slot", &used, slots)
    }

    fn visual_slots(&self) -> Result<(), BackendError> {
        let (tokens, slots) = (self.frame.sizes(0)[1], self.state_rows(2));
        match self.frame.u32s(1).iter().find(|&&first| first as usize + tokens > slots) {
            Some(first) => {
                let expected = format!("{tokens} slots a tile within {slots}");
                Err(self.error(batch::VISUAL_SLOTS, expected, format!("first slot {first}")))
            }
            None => Ok(()),
        }
    }

    /// Every key that a row attends to lies in the states, which begin at input `states`.
    fn pages(&self, states: usize) -> Result<(), BackendError> {
        let (table, sizes) = (self.frame.u32s(2), self.frame.sizes(2));
        let (sequences, pages) = (sizes[0], sizes[1]);
        let last = self.frame.node.inputs.len();
        let slots = (states..last).map(|i| self.state_rows(i)).min().unwrap_or(0);
        // Keys of each sequence that are needed.
        let mut keys = vec![0_usize; sequences];
        for RowInfo { position, sequence, .. } in self.frame.row_infos(1) {
            self.below("sequence of a row", &[*sequence], sequences)?;
            self.below("position", &[*position], pages.saturating_mul(PAGE_SIZE))?;
            let keys = &mut keys[*sequence as usize];
            *keys = (*keys).max(*position as usize + 1);
        }
        for (sequence, &keys) in keys.iter().enumerate() {
            for (i, &page) in table[sequence * pages..].iter().take(keys.div_ceil(PAGE_SIZE)).enumerate() {
                let needed = (keys - i * PAGE_SIZE).min(PAGE_SIZE);
                if page as usize * PAGE_SIZE + needed > slots {
                    let expected = format!("pages within {slots} slots");
                    return Err(self.error(batch::PAGE_TABLE, expected, format!("page {page}")));
                }
            }
        }
        Ok(())
    }

    /// Every row is in one block, with rows of one sequence.
    fn query_blocks(&self) -> Result<(), BackendError> {
        let rows = self.frame.row_infos(1);
        let mut seen = vec![false; rows.len()];
        for block in self.frame.u32s(3).chunks_exact(2) {
            let (first, count) = (block[0] as usize, block[1] as usize);
            let Some(part) = rows.get(first..first.saturating_add(count)) else {
                let expected = format!("blocks within {} rows", rows.len());
                return Err(self.error(batch::QUERY_BLOCKS, expected, format!("rows {first}, {count}")));
            };
            if count > batch::QUERY_BLOCK || part.windows(2).any(|w| w[0].sequence != w[1].sequence) {
                let expected = format!("at most {} rows of one sequence", batch::QUERY_BLOCK);
                return Err(self.error(batch::QUERY_BLOCKS, expected, format!("rows {first}, {count}")));
            }
            self.once(batch::QUERY_BLOCKS, &mut seen, first..first + count)?;
        }
        self.all(batch::QUERY_BLOCKS, &seen)
    }

    /// Every row is in the table, once.
    fn routing(&self) -> Result<(), BackendError> {
        let table = self.frame.u32s(self.frame.node.inputs.len() - 1);
        let mut seen = vec![false; self.rows(0)];
        for block in table.chunks_exact(1 + ROUTE_BLOCK) {
            let count = (block[0] & 0xffff) as usize + (block[0] >> 16) as usize;
            let Some(rows) = block[1..].get(..count) else {
                let expected = format!("at most {ROUTE_BLOCK} rows a block");
                return Err(self.error(batch::ROUTING, expected, count));
            };
            self.below(batch::ROUTING, rows, seen.len())?;
            self.once(batch::ROUTING, &mut seen, rows.iter().map(|&r| r as usize))?;
        }
        self.all(batch::ROUTING, &seen)
    }

    fn once(
        &self,
        what: &str,
        seen: &mut [bool],
        rows: impl IntoIterator<Item = usize>,
    ) -> Result<(), BackendError> {
        for row in rows {
            if std::mem::replace(&mut seen[row], true) {
                return Err(self.error(what, "each row once", format!("row {row} twice")));
            }
        }
        Ok(())
    }

    fn all(&self, what: &str, seen: &[bool]) -> Result<(), BackendError> {
        match seen.iter().position(|&seen| !seen) {
            Some(row) => Err(self.error(what, "every row", format!("none for row {row}"))),
            None => Ok(()),
        }
    }

    fn sampling(&self) -> Result<(), BackendError> {
        let rows: &[SamplingRow] = bytemuck::cast_slice(self.frame.u32s(1));
        for row in rows {
            let fields = [
                (
                    "temperature",
                    row.temperature,
                    row.temperature >= 0.0 && row.temperature.is_finite(),
                    "0 or more",
                ),
                ("top_p", row.top_p, row.top_p > 0.0 && row.top_p <= 1.0, "above 0, at most 1"),
                ("penalty", row.penalty, row.penalty > 0.0 && row.penalty.is_finite(), "above 0"),
            ];
            if let Some((what, got, _, expected)) = fields.into_iter().find(|(_, _, ok, _)| !ok) {
                return Err(self.error(what, expected, got));
            }
        }
        Ok(())
    }
}

/// Bytes of an input as elements, copied only if they lie askew in memory.
pub(crate) fn cast<T: bytemuck::Pod>(bytes: &[u8]) -> std::borrow::Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(v) => v.into(),
        Err(_) => bytemuck::allocation::pod_collect_to_vec(bytes).into(),
    }
}

impl<'a> Slice<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::F32(v) => bytemuck::cast_slice(v),
            Self::U32(v) => bytemuck::cast_slice(v),
        }
    }
}
