//! The text phase: decode, and prompts without an image.

use crate::batch::{ROUTING, VISUAL, VISUAL_ROWS};
use crate::{Expert, Graph, Op, Routed};

fn drop_visual<T>(routed: &mut Routed<T>) {
    routed.visual = None;
}

/// The graph with only its text experts. A projection left with nothing but an identity disappears.
pub(super) fn text_only(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    graph.name = format!("{} (text only)", graph.name);
    let visual_inputs: Vec<_> =
        [ROUTING, VISUAL, VISUAL_ROWS].iter().filter_map(|name| graph.find(name)).collect();
    for node in &mut graph.nodes {
        match &mut node.op {
            Op::Linear(op) => {
                drop_visual(&mut op.weight);
                op.bias.iter_mut().for_each(drop_visual);
            }
            Op::GateUp(op) => {
                drop_visual(&mut op.gate);
                drop_visual(&mut op.up);
            }
            Op::QkvRope(op) => {
                drop_visual(&mut op.weight);
                op.bias.iter_mut().for_each(drop_visual);
            }
            Op::Embed(_) => {}
            _ => continue,
        }
        node.inputs.retain(|id| !visual_inputs.contains(id));
    }
    remove_identities(&mut graph);
    graph
}

/// A plain identity projection passes its input on: readers read the input instead.
fn remove_identities(graph: &mut Graph) {
    let mut same_as: Vec<_> = (0..graph.values.len()).map(crate::ValueId).collect();
    graph.nodes.retain(|node| {
        let Op::Linear(op) = &node.op else { return true };
        let identity = op.weight.text == Expert::Identity && op.bias.is_none();
        if let (true, Some(output)) = (identity, node.output) {
            same_as[output.0] = same_as[node.inputs[0].0];
        }
        !identity
    });
    for node in &mut graph.nodes {
        for input in &mut node.inputs {
            *input = same_as[input.0];
        }
    }
    for output in graph.outputs.values_mut() {
        *output = same_as[output.0];
    }
}
