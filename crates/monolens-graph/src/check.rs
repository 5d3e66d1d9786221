//! What backends check before anything is computed: states when a program is made; sizes, and every index that an operator
//! follows, when it runs.

use crate::backend::Job;
use crate::batch::{NO_VISUAL, PAGE_SIZE, QUERY_BLOCK, ROUTE_BLOCK};
use crate::plan::Plan;
use crate::{Axis, BackendError, DType, Node, Op, Source, ValueId};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The states that a backend holds, as far as they are checked.
pub trait StateTable {
    /// Type, rows and width of a state, if there is one of this name.
    fn state(&self, name: &str) -> Option<(DType, usize, usize)>;
}

/// The states that a plan uses and their types; they must be there with the widths of the plan.
///
/// # Errors
/// Names the state, what the plan needs and what is there.
pub fn states(plan: &Plan, states: &dyn StateTable) -> Result<Vec<(String, DType)>, BackendError> {
    let mut known = Vec::new();
    for (id, value) in plan.graph.of_source(Source::State) {
        if !plan.graph.nodes.iter().any(|n| n.inputs.contains(&id)) {
            continue;
        }
        let error = |expected: String, got: String| {
            BackendError::input(&plan.graph.name, format!("state {}", value.name), expected, got)
        };
        let wanted = value.shape.width().unwrap_or(0);
        match states.state(&value.name) {
            None => return Err(error("an allocated state".into(), "none".into())),
            Some((_, _, width)) if width != wanted => {
                return Err(error(format!("rows of {wanted}"), format!("rows of {width}")));
            }
            // Kernels take floats of any size, but records of 8 bits lie otherwise.
            Some((dtype, ..)) if (dtype == DType::I8) != (value.dtype == DType::I8) => {
                return Err(error(value.dtype.to_string(), dtype.to_string()));
            }
            Some((dtype, ..)) => known.push((value.name.clone(), dtype)),
        }
    }
    Ok(known)
}

/// Checks a job against its plan and the states it will use, which were `known` when the program was made.
///
/// # Errors
/// Names the input, state, output or axis, what the program needs and what it was given.
pub fn job(
    plan: &Plan,
    job: &Job<'_>,
    known: &[(String, DType)],
    states: &dyn StateTable,
) -> Result<(), BackendError> {
    let check = Check { plan, job, states };
    for axis in Axis::ALL {
        let (limit, got) = (plan.limits.get(axis), job.axes.get(axis));
        // KV and visual slots are a state's; the plan's limits need not say them.
        let of_state = matches!(axis, Axis::KvSlots | Axis::VisualSlots) && limit == 0;
        if got > limit && !of_state {
            return Err(check.error(axis.name(), format!("at most {limit}"), got));
        }
    }
    for (name, dtype) in known {
        match states.state(name) {
            Some((found, ..)) if found == *dtype => {}
            Some((found, ..)) => return Err(check.error(name, dtype, found)),
            None => return Err(check.error(name, "an allocated state", "none")),
        }
    }
    check.sizes()?;
    for name in &job.read {
        if !plan.graph.outputs.contains_key(*name) {
            let known = plan.graph.outputs.keys().cloned().collect::<Vec<_>>().join(", ");
            return Err(check.error(name, format!("an output of {known}"), "no such output"));
        }
    }
    // Layers share their index inputs: each is checked once for states of one size.
    let mut done = BTreeSet::new();
    for node in &plan.graph.nodes {
        let (tables, others): (Vec<ValueId>, Vec<ValueId>) =
            node.inputs.iter().partition(|id| check.is_input(**id));
        let rows: Vec<usize> = others.iter().map(|&id| check.state_rows(id)).collect();
        if done.insert((node.op.name(), tables, rows, is_routed(&node.op))) {
            check.indices(node)?;
        }
    }
    Ok(())
}

fn is_routed(op: &Op) -> bool {
    match op {
        Op::Linear(op) => op.is_routed(),
        Op::GateUp(op) => op.is_routed(),
        Op::QkvRope(op) => op.is_routed(),
        _ => false,
    }
}

struct Check<'c> {
    plan: &'c Plan,
    job: &'c Job<'c>,
    states: &'c dyn StateTable,
}

impl Check<'_> {
    fn error(&self, what: &str, expected: impl ToString, got: impl ToString) -> BackendError {
        BackendError::input(&self.plan.graph.name, what, expected, got)
    }

    fn name(&self, id: ValueId) -> &str {
        &self.plan.graph.value(id).name
    }

    fn is_input(&self, id: ValueId) -> bool {
        self.plan.graph.value(id).source == Source::Input
    }

    /// Every input that some node or the reader wants is there, in the right size.
    fn sizes(&self) -> Result<(), BackendError> {
        let graph = &self.plan.graph;
        let uses = graph.uses();
        for (id, value) in graph.of_source(Source::Input) {
            let wanted = uses[id.0] > 0 || graph.outputs.values().any(|&o| o == id);
            let bytes = value.shape.elements(&self.job.axes) * value.dtype.bytes();
            match self.job.inputs.get(value.name.as_str()) {
                Some(given) if given.len() != bytes => {
                    return Err(self.error(&value.name, format!("{bytes} bytes"), given.len()));
                }
                None if wanted && bytes > 0 => {
                    return Err(self.error(&value.name, format!("{bytes} bytes"), "no such input"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn u32s(&self, id: ValueId) -> Cow<'_, [u32]> {
        let bytes = self.job.inputs.get(self.name(id)).copied().unwrap_or(&[]);
        match bytemuck::try_cast_slice(bytes) {
            Ok(words) => words.into(),
            Err(_) => bytemuck::allocation::pod_collect_to_vec(bytes).into(),
        }
    }

    fn below(
        &self,
        what: &str,
        indices: impl IntoIterator<Item = u32>,
        limit: usize,
    ) -> Result<(), BackendError> {
        match indices.into_iter().find(|&i| i as usize >= limit) {
            Some(i) => Err(self.error(what, format!("below {limit}"), i)),
            None => Ok(()),
        }
    }

    fn state_rows(&self, id: ValueId) -> usize {
        self.states.state(self.name(id)).map_or(0, |(_, rows, _)| rows)
    }

    /// All indices that one node follows.
    fn indices(&self, node: &Node) -> Result<(), BackendError> {
        let inputs = &node.inputs;
        match &node.op {
            Op::Embed(op) => {
                let vocabulary = self.plan.graph.weight(op.table).shape.first().copied().unwrap_or(0);
                self.ids(node, vocabulary)
            }
            Op::GatherRows(_) => self.below(
                self.name(inputs[1]),
                self.u32s(inputs[1]).iter().copied(),
                self.plan.graph.value(inputs[0]).shape.rows(&self.job.axes),
            ),
            Op::StoreRows(_) => self.visual_slots(node),
            Op::Rope(_) => self.kv_slots(inputs[1], [inputs[3], inputs[4]]),
            Op::QkvRope(op) => {
                self.kv_slots(inputs[1], [inputs[3], inputs[4]])?;
                if op.is_routed() { self.routing(inputs[5]) } else { Ok(()) }
            }
            Op::Linear(_) | Op::GateUp(_) if is_routed(&node.op) => self.routing(inputs[inputs.len() - 1]),
            Op::Attention(_) => {
                self.pages(node, &inputs[4..])?;
                self.query_blocks(node)
            }
            Op::AttentionMap(_) => {
                self.pages(node, &inputs[3..])?;
                let context = self.job.axes.get(Axis::Context);
                self.below("position", self.u32s(inputs[1]).chunks_exact(4).map(|row| row[2]), context)
            }
            Op::Sample(_) => self.sampling(inputs[1]),
            _ => Ok(()),
        }
    }

    fn ids(&self, node: &Node, vocabulary: usize) -> Result<(), BackendError> {
        let rows = self.u32s(node.inputs[0]);
        let (slots, limit) = match node.inputs[..] {
            [_, slots, state] => (self.u32s(slots), self.state_rows(state)),
            _ => (Cow::Borrowed(&[][..]), 0),
        };
        for (i, row) in rows.chunks_exact(4).enumerate() {
            match slots.get(i).copied().filter(|&slot| slot != NO_VISUAL) {
                Some(slot) => self.below(self.name(node.inputs[1]), [slot], limit)?,
                None => self.below("token id", [row[0]], vocabulary)?,
            }
        }
        Ok(())
    }

    fn visual_slots(&self, node: &Node) -> Result<(), BackendError> {
        let tokens = self.plan.graph.value(node.inputs[0]).shape.sizes(&self.job.axes)[1];
        let slots = self.state_rows(node.inputs[2]);
        match self.u32s(node.inputs[1]).iter().find(|&&first| first as usize + tokens > slots) {
            Some(first) => {
                let expected = format!("{tokens} slots a tile within {slots}");
                Err(self.error(self.name(node.inputs[1]), expected, format!("first slot {first}")))
            }
            None => Ok(()),
        }
    }

    fn kv_slots(&self, rows: ValueId, states: [ValueId; 2]) -> Result<(), BackendError> {
        let slots = states.map(|id| self.state_rows(id));
        self.below("KV slot", self.u32s(rows).chunks_exact(4).map(|row| row[1]), slots[0].min(slots[1]))
    }

    /// Every key that a row attends to lies in the states.
    fn pages(&self, node: &Node, states: &[ValueId]) -> Result<(), BackendError> {
        let table = self.u32s(node.inputs[2]);
        let sequences = self.job.axes.get(Axis::Sequences);
        let pages = self.job.axes.get(Axis::PagesPerSequence);
        let slots = states.iter().map(|&id| self.state_rows(id)).min().unwrap_or(0);
        let mut keys = vec![0_usize; sequences];
        for row in self.u32s(node.inputs[1]).chunks_exact(4) {
            let (position, sequence) = (row[2], row[3]);
            self.below("sequence of a row", [sequence], sequences)?;
            self.below("position", [position], pages.saturating_mul(PAGE_SIZE))?;
            let keys = &mut keys[sequence as usize];
            *keys = (*keys).max(position as usize + 1);
        }
        for (sequence, &keys) in keys.iter().enumerate() {
            for (i, &page) in table[sequence * pages..].iter().take(keys.div_ceil(PAGE_SIZE)).enumerate() {
                let needed = (keys - i * PAGE_SIZE).min(PAGE_SIZE);
                if page as usize * PAGE_SIZE + needed > slots {
                    let expected = format!("pages within {slots} slots");
                    return Err(self.error(self.name(node.inputs[2]), expected, format!("page {page}")));
                }
            }
        }
        Ok(())
    }

    /// Every row is in one block, with rows of one sequence.
    fn query_blocks(&self, node: &Node) -> Result<(), BackendError> {
        let (rows, what) = (self.u32s(node.inputs[1]), self.name(node.inputs[3]));
        let rows: Vec<&[u32]> = rows.chunks_exact(4).collect();
        let mut seen = vec![false; rows.len()];
        for block in self.u32s(node.inputs[3]).chunks_exact(2) {
            let (first, count) = (block[0] as usize, block[1] as usize);
            let got = || format!("rows {first}, {count}");
            let Some(part) = rows.get(first..first.saturating_add(count)) else {
                return Err(self.error(what, format!("blocks within {} rows", rows.len()), got()));
            };
            if count > QUERY_BLOCK || part.windows(2).any(|w| w[0][3] != w[1][3]) {
                return Err(self.error(what, format!("at most {QUERY_BLOCK} rows of one sequence"), got()));
            }
            self.once(what, &mut seen, first..first + count)?;
        }
        self.all(what, &seen)
    }

    /// Every row is in the table, once.
    fn routing(&self, id: ValueId) -> Result<(), BackendError> {
        let (table, what) = (self.u32s(id), self.name(id));
        let mut seen = vec![false; self.job.axes.get(Axis::Rows)];
        for block in table.chunks_exact(1 + ROUTE_BLOCK) {
            let count = (block[0] & 0xffff) as usize + (block[0] >> 16) as usize;
            let Some(rows) = block[1..].get(..count) else {
                return Err(self.error(what, format!("at most {ROUTE_BLOCK} rows a block"), count));
            };
            self.below(what, rows.iter().copied(), seen.len())?;
            self.once(what, &mut seen, rows.iter().map(|&r| r as usize))?;
        }
        self.all(what, &seen)
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

    fn sampling(&self, id: ValueId) -> Result<(), BackendError> {
        for row in self.u32s(id).chunks_exact(8) {
            let [temperature, top_p, penalty] = [row[0], row[1], row[2]].map(f32::from_bits);
            if !(temperature >= 0.0 && temperature.is_finite()) {
                return Err(self.error("temperature", "0 or more", temperature));
            }
            if !(top_p > 0.0 && top_p <= 1.0) {
                return Err(self.error("top_p", "above 0, at most 1", top_p));
            }
            if !(penalty > 0.0 && penalty.is_finite()) {
                return Err(self.error("penalty", "above 0", penalty));
            }
        }
        Ok(())
    }
}
