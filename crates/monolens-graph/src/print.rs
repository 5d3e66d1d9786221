//! Graphs and plans as text and as Graphviz.

use crate::plan::Plan;
use crate::{Graph, Source, ValueId, WeightId};
use std::fmt::{self, Write};

fn list<T>(items: impl IntoIterator<Item = T>, show: impl Fn(T) -> String) -> String {
    items.into_iter().map(show).collect::<Vec<_>>().join(", ")
}

impl Graph {
    fn weight_names(&self, ids: &[WeightId]) -> String {
        list(ids, |id| self.weight(*id).name.clone())
    }

    fn write_text(&self, f: &mut impl Write, slot: impl Fn(ValueId) -> String) -> fmt::Result {
        writeln!(f, "graph {} ({} nodes)", self.name, self.nodes.len())?;
        for (kind, source) in [("input", Source::Input), ("state", Source::State)] {
            for (_, v) in self.of_source(source) {
                writeln!(f, "  {kind} {}: {} {}", v.name, v.dtype, v.shape)?;
            }
        }
        for node in &self.nodes {
            let inputs = list(&node.inputs, |id| self.value(*id).name.clone());
            let weights = self.weight_names(&node.op.weights());
            let weights = if weights.is_empty() { weights } else { format!("  [{weights}]") };
            match node.output {
                Some(id) => {
                    let v = self.value(id);
                    let (name, at) = (&node.name, slot(id));
                    writeln!(
                        f,
                        "  {name}: {} {}{at} = {}({inputs}){weights}",
                        v.dtype,
                        v.shape,
                        node.op.name()
                    )?;
                }
                None => writeln!(f, "  {}: {}({inputs}){weights}", node.name, node.op.name())?,
            }
        }
        for (name, id) in &self.outputs {
            writeln!(f, "  output {name} = {}", self.value(*id).name)?;
        }
        Ok(())
    }

    /// The graph in the Graphviz language.
    pub fn to_dot(&self) -> String {
        let mut dot = String::new();
        // Writing to a String does not fail.
        let _ = self.write_dot(&mut dot);
        dot
    }

    fn write_dot(&self, f: &mut impl Write) -> fmt::Result {
        writeln!(f, "digraph {:?} {{\n  rankdir=TB; node [fontname=\"sans-serif\"];", self.name)?;
        for (source, shape) in [(Source::Input, "ellipse"), (Source::State, "cylinder")] {
            for (id, v) in self.of_source(source) {
                writeln!(
                    f,
                    "  v{} [shape={shape}, label={:?}];",
                    id.0,
                    format!("{}\n{} {}", v.name, v.dtype, v.shape)
                )?;
            }
        }
        for (i, node) in self.nodes.iter().enumerate() {
            let experts = if is_routed(&node.op) { ", style=filled, fillcolor=\"#ffe3b8\"" } else { "" };
            writeln!(
                f,
                "  n{i} [shape=box{experts}, label={:?}];",
                format!("{}\n{}", node.op.name(), node.name)
            )?;
            for id in &node.inputs {
                match self.value(*id).source {
                    Source::Node(_) => {
                        let maker = self.nodes.iter().position(|n| n.output == Some(*id));
                        if let Some(maker) = maker {
                            writeln!(
                                f,
                                "  n{maker} -> n{i} [label={:?}];",
                                self.value(*id).shape.to_string()
                            )?;
                        }
                    }
                    _ => writeln!(f, "  v{} -> n{i} [style=dashed];", id.0)?,
                }
            }
        }
        writeln!(f, "}}")
    }
}

/// Whether an operator treats the modalities differently.
fn is_routed(op: &crate::Op) -> bool {
    match op {
        crate::Op::Linear(op) => op.is_routed(),
        crate::Op::GateUp(op) => op.is_routed(),
        crate::Op::QkvRope(op) => op.is_routed(),
        _ => false,
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_text(f, |_| String::new())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slot = |id: ValueId| match self.slot_of.get(id.0) {
            Some(Some(slot)) => format!(" @{}", slot.0),
            _ => String::new(),
        };
        self.graph.write_text(f, slot)?;
        for (i, slot) in self.slots.iter().enumerate() {
            writeln!(f, "  slot {i}: {} bytes", slot.bytes)?;
        }
        writeln!(f, "  {} bytes in {} slots", self.slot_bytes(), self.slots.len())
    }
}
