//! Memory by liveness: values that are never needed at the same time share a slot.

use crate::{Axes, Graph, Source, ValueId};

/// Index of a [`Slot`] in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub usize);

/// A piece of activation memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Size in bytes at the plan's limits, a multiple of 16.
    pub bytes: usize,
}

/// Gives every node's result a slot. A result never shares one with an input of its node; outputs keep theirs to the end.
pub(super) fn assign(graph: &Graph, limits: &Axes) -> (Vec<Slot>, Vec<Option<SlotId>>) {
    let mut last_use = vec![0; graph.values.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        for id in node.inputs.iter().chain(&node.output) {
            last_use[id.0] = i;
        }
    }
    for id in graph.outputs.values() {
        last_use[id.0] = usize::MAX;
    }
    let mut slots: Vec<Slot> = Vec::new();
    let mut free: Vec<SlotId> = Vec::new();
    let mut slot_of = vec![None; graph.values.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        if let Some(id) = node.output {
            let bytes = bytes_of(graph, id, limits);
            slot_of[id.0] = Some(take(&mut slots, &mut free, bytes));
        }
        let mut done: Vec<ValueId> = node.inputs.iter().chain(&node.output).copied().collect();
        done.sort();
        done.dedup();
        for id in done {
            let temporary = matches!(graph.value(id).source, Source::Node(_));
            if temporary && last_use[id.0] == i {
                free.extend(slot_of[id.0]);
            }
        }
    }
    (slots, slot_of)
}

fn bytes_of(graph: &Graph, id: ValueId, limits: &Axes) -> usize {
    let value = graph.value(id);
    let bytes = value.shape.elements(limits) * value.dtype.bytes();
    bytes.next_multiple_of(16).max(16)
}

/// The smallest free slot that holds `bytes`, else the largest one grown, else a new one.
fn take(slots: &mut Vec<Slot>, free: &mut Vec<SlotId>, bytes: usize) -> SlotId {
    let size = |id: &SlotId| slots[id.0].bytes;
    let fitting = free.iter().enumerate().filter(|(_, id)| size(id) >= bytes);
    let best = fitting.min_by_key(|(_, id)| size(id)).map(|(at, _)| at);
    let chosen = best.or_else(|| (0..free.len()).max_by_key(|&at| size(&free[at])));
    let Some(at) = chosen else {
        slots.push(Slot { bytes });
        return SlotId(slots.len() - 1);
    };
    let id = free.swap_remove(at);
    slots[id.0].bytes = slots[id.0].bytes.max(bytes);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, DType, GraphBuilder, ops};

    #[test]
    fn a_chain_of_equal_values_needs_two_slots() {
        let mut g = GraphBuilder::new("chain");
        let mut x = g.input("x", DType::F32, [Axis::Rows.into(), 8.into()]);
        for i in 0..5 {
            x = g.push(format!("gelu.{i}"), ops::Gelu, &[x]).unwrap();
        }
        g.output("y", x).unwrap();
        let (slots, slot_of) = assign(&g.finish(), &Axes::new().with(Axis::Rows, 3));
        assert_eq!(slots.len(), 2);
        assert_eq!(slots[0].bytes, 3 * 8 * 4);
        assert_eq!(slot_of[0], None, "inputs have buffers of their own");
    }

    #[test]
    fn an_output_keeps_its_slot() {
        let mut g = GraphBuilder::new("tapped");
        let x = g.input("x", DType::F32, [Axis::Rows.into(), 8.into()]);
        let a = g.push("a", ops::Gelu, &[x]).unwrap();
        let b = g.push("b", ops::Gelu, &[a]).unwrap();
        let c = g.push("c", ops::Gelu, &[b]).unwrap();
        g.output("a", a).unwrap();
        g.output("c", c).unwrap();
        let (_, slot_of) = assign(&g.finish(), &Axes::new().with(Axis::Rows, 1));
        let slot = |id: ValueId| slot_of[id.0].unwrap();
        assert_ne!(slot(a), slot(b));
        assert_ne!(slot(a), slot(c));
    }
}
