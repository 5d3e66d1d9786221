//! Fusion: neighbouring operators become one, where the device has a kernel for it. Values stay the same.
//!
//! Each rule looks at a pair (or triple) of nodes whose connecting values nobody else reads and that are no outputs.

use super::Fusions;
use crate::ops::{GateUp, QkvRope, Residual, RmsNorm};
use crate::{Expert, Graph, Node, Op, Routed, Source, ValueId, WeightId};

/// Applies all rules that `fusions` allows.
pub(super) fn fuse(graph: &Graph, fusions: Fusions) -> Graph {
    let mut work = Work::new(graph);
    for i in 0..work.nodes.len() {
        let Some(node) = work.nodes[i].clone() else { continue };
        match &node.op {
            Op::SwiGlu(_) if fusions.gate_up => work.gate_up(i, &node),
            Op::Rope(_) if fusions.qkv_rope => work.qkv_rope(i, &node),
            Op::Gelu(_) if fusions.epilogue => work.gelu(i, &node),
            Op::Add(_) if fusions.epilogue => work.residual(i, &node, Residual::Add),
            Op::ScaledAdd(op) if fusions.epilogue => work.residual(i, &node, Residual::Scaled(op.scale)),
            _ => None,
        };
    }
    if fusions.norm {
        for i in 0..work.nodes.len() {
            work.norm(i);
        }
    }
    work.finish()
}

struct Work {
    graph: Graph,
    nodes: Vec<Option<Node>>,
    uses: Vec<usize>,
}

impl Work {
    fn new(graph: &Graph) -> Self {
        let mut uses = graph.uses();
        for id in graph.outputs.values() {
            uses[id.0] += 1;
        }
        let nodes = graph.nodes.iter().cloned().map(Some).collect();
        Self { graph: graph.clone(), nodes, uses }
    }

    /// The node that makes `id`, if this use of it is the only one.
    fn only_maker(&self, id: ValueId) -> Option<(usize, Node)> {
        if self.uses[id.0] != 1 {
            return None;
        }
        let at = self.nodes.iter().position(|n| n.as_ref().is_some_and(|n| n.output == Some(id)))?;
        Some((at, self.nodes[at].clone()?))
    }

    fn plain_linear(&self, id: ValueId) -> Option<(usize, Node, crate::ops::Linear)> {
        let (at, node) = self.only_maker(id)?;
        match &node.op {
            Op::Linear(op) if op.residual == Residual::None && !op.gelu => {
                let op = op.clone();
                Some((at, node, op))
            }
            _ => None,
        }
    }

    /// gate, up, swiglu -> gate_up
    fn gate_up(&mut self, i: usize, node: &Node) -> Option<()> {
        let (gate_at, gate_node, gate) = self.plain_linear(node.inputs[0])?;
        let (up_at, up_node, up) = self.plain_linear(node.inputs[1])?;
        let fits = gate_node.inputs == up_node.inputs && gate.bias.is_none() && up.bias.is_none();
        let op = GateUp { gate: weights(&gate.weight)?, up: weights(&up.weight)?, norm: None };
        if !fits || op.gate.is_routed() != op.up.is_routed() {
            return None;
        }
        for id in &up_node.inputs {
            self.uses[id.0] -= 1;
        }
        self.nodes[gate_at] = None;
        self.nodes[up_at] = None;
        self.nodes[i] = Some(Node { op: op.into(), inputs: gate_node.inputs, ..node.clone() });
        Some(())
    }

    /// linear, rope -> qkv_rope
    fn qkv_rope(&mut self, i: usize, node: &Node) -> Option<()> {
        let Op::Rope(rope) = &node.op else { return None };
        if !node.inputs[3..5].iter().all(|&id| QkvRope::writes(self.graph.value(id).dtype)) {
            return None;
        }
        let (at, linear_node, linear) = self.plain_linear(node.inputs[0])?;
        let op = QkvRope {
            weight: weights(&linear.weight)?,
            bias: linear.bias,
            norm: None,
            heads: rope.heads,
            layout: rope.layout,
        };
        let mut inputs = vec![linear_node.inputs[0]];
        inputs.extend(&node.inputs[1..]);
        inputs.extend(&linear_node.inputs[1..]);
        self.nodes[at] = None;
        self.nodes[i] = Some(Node { op: op.into(), inputs, ..node.clone() });
        Some(())
    }

    /// linear, gelu -> linear
    fn gelu(&mut self, i: usize, node: &Node) -> Option<()> {
        let (at, linear_node, mut op) = self.plain_linear(node.inputs[0])?;
        op.gelu = true;
        self.nodes[at] = None;
        self.nodes[i] = Some(Node { op: op.into(), inputs: linear_node.inputs, ..node.clone() });
        Some(())
    }

    /// linear, add -> linear with a residual
    fn residual(&mut self, i: usize, node: &Node, residual: Residual) -> Option<()> {
        let (at, linear_node) = self.only_maker(node.inputs[1])?;
        let Op::Linear(op) = &linear_node.op else { return None };
        if op.residual != Residual::None {
            return None;
        }
        let mut op = op.clone();
        op.residual = residual;
        let mut inputs = vec![linear_node.inputs[0], node.inputs[0]];
        inputs.extend(&linear_node.inputs[1..]);
        self.nodes[at] = None;
        self.nodes[i] = Some(Node { op: op.into(), inputs, ..node.clone() });
        Some(())
    }

    /// rms_norm -> into every projection that reads it, if nothing else does
    fn norm(&mut self, i: usize) -> Option<()> {
        let node = self.nodes[i].clone()?;
        let Op::RmsNorm(norm) = node.op else { return None };
        let output = node.output?;
        let readers: Vec<usize> = (0..self.nodes.len())
            .filter(|&r| self.nodes[r].as_ref().is_some_and(|n| n.inputs.contains(&output)))
            .collect();
        let all = readers.iter().all(|&r| {
            self.nodes[r].as_ref().is_some_and(|n| {
                n.inputs.iter().filter(|&&id| id == output).count() == 1
                    && n.inputs[0] == output
                    && takes_norm(&n.op)
            })
        });
        if !all || readers.is_empty() || readers.len() != self.uses[output.0] {
            return None;
        }
        for r in readers {
            if let Some(reader) = &mut self.nodes[r] {
                set_norm(&mut reader.op, norm);
                reader.inputs[0] = node.inputs[0];
                self.uses[node.inputs[0].0] += 1;
            }
        }
        self.uses[node.inputs[0].0] -= 1;
        self.nodes[i] = None;
        Some(())
    }

    fn finish(self) -> Graph {
        let mut graph = self.graph;
        graph.nodes = self.nodes.into_iter().flatten().collect();
        for (i, node) in graph.nodes.iter().enumerate() {
            if let Some(id) = node.output {
                graph.values[id.0].source = Source::Node(i);
            }
        }
        graph
    }
}

/// The weights of experts that all have one.
fn weights(experts: &Routed<Expert>) -> Option<Routed<WeightId>> {
    Some(match experts.visual {
        None => Routed::shared(experts.text.weight()?),
        Some(visual) => Routed::split(experts.text.weight()?, visual.weight()?),
    })
}

fn takes_norm(op: &Op) -> bool {
    match op {
        // An identity expert would need the normed row itself.
        Op::Linear(op) => op.norm.is_none() && op.weight.iter().all(|e| e.weight().is_some()),
        Op::GateUp(op) => op.norm.is_none(),
        Op::QkvRope(op) => op.norm.is_none(),
        _ => false,
    }
}

fn set_norm(op: &mut Op, norm: RmsNorm) {
    match op {
        Op::Linear(op) => op.norm = Some(norm),
        Op::GateUp(op) => op.norm = Some(norm),
        Op::QkvRope(op) => op.norm = Some(norm),
        _ => {}
    }
}
