//! What an operator is in operations and bytes, for those who measure.

use crate::batch::RowInfo;
use crate::{Axes, DType, Graph, Node, Op, WeightSpec};

/// Work of one node in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Multiplications and additions with weights, and of attention; the rest is small beside them.
    pub flops: f64,
    /// Bytes that have to be read and written at least once: weights, keys and values, what goes in and comes out.
    pub bytes: f64,
}

/// How far the rows of a batch look back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lookback {
    /// Keys of all rows, each row's counted by itself.
    pub pairs: f64,
    /// Keys of all sequences: what a block of rows reads at least.
    pub keys: f64,
}

impl Lookback {
    /// Of the rows of a batch.
    pub fn of(rows: &[RowInfo]) -> Self {
        let mut most = std::collections::BTreeMap::new();
        for row in rows {
            let keys = most.entry(row.sequence).or_insert(0);
            *keys = row.position.max(*keys);
        }
        Self {
            pairs: rows.iter().map(|row| f64::from(row.position) + 1.0).sum(),
            keys: most.values().map(|&position| f64::from(position) + 1.0).sum(),
        }
    }
}

impl Cost {
    /// Of a node; `weight_bytes` knows how weights are stored.
    pub fn of(
        graph: &Graph,
        node: &Node,
        axes: &Axes,
        lookback: Lookback,
        weight_bytes: &dyn Fn(&WeightSpec) -> f64,
    ) -> Self {
        let size = |id: &crate::ValueId| {
            let value = graph.value(*id);
            (value.shape.elements(axes) * value.dtype.bytes()) as f64
        };
        let is_state = |id: &&crate::ValueId| matches!(graph.value(**id).source, crate::Source::State);
        let out = node.output.map(|id| graph.value(id));
        let rows = out.map_or(0, |value| value.shape.rows(axes)) as f64;
        let mut cost = Self::default();
        cost.bytes += node.inputs.iter().filter(|id| !is_state(id)).map(size).sum::<f64>();
        cost.bytes += node.output.as_ref().map_or(0.0, size);
        match &node.op {
            // Of what they read they take the rows that they hand out.
            Op::Embed(_) | Op::GatherRows(_) => {
                return Self { bytes: 2.0 * node.output.as_ref().map_or(0.0, size), ..cost };
            }
            Op::Attention(op) => {
                cost.flops += 4.0 * lookback.pairs * op.heads.query_width() as f64;
                let kv = node.inputs.get(4).map_or(DType::F32, |id| graph.value(*id).dtype);
                cost.bytes += 2.0 * lookback.keys * op.heads.cache_bytes(kv) as f64;
            }
            Op::TileAttention(_) => {
                // Every row looks at all rows of its tile.
                let sizes = out.map_or(Vec::new(), |value| value.shape.sizes(axes));
                if let [tiles, rows, width] = sizes[..] {
                    cost.flops += 4.0 * (tiles * rows * rows * width) as f64;
                }
            }
            _ => {}
        }
        // Of a routed pair of weights a row is multiplied by one.
        let experts = match &node.op {
            Op::Linear(op) => op.weight.iter().filter_map(|e| e.weight()).count(),
            Op::GateUp(op) => op.gate.iter().count(),
            Op::QkvRope(op) => op.weight.iter().count(),
            Op::PatchEmbed(_) => 1,
            _ => 0,
        };
        for weight in node.op.weights().into_iter().map(|id| graph.weight(id)) {
            cost.bytes += weight_bytes(weight);
            if experts > 0 && weight.shape.len() > 1 {
                let elements = weight.shape.iter().product::<usize>() as f64;
                cost.flops += 2.0 * rows * elements / experts as f64;
            }
        }
        cost
    }
}

/// What one operator took in a run.
#[derive(Clone, Debug, PartialEq)]
pub struct OpTime {
    /// Its name.
    pub op: &'static str,
    /// Widths of what goes in and comes out.
    pub widths: [usize; 2],
    /// Its work.
    pub cost: Cost,
    /// How long it took.
    pub seconds: f64,
}

impl OpTime {
    /// Of a node with its work.
    pub fn new(graph: &Graph, node: &Node, cost: Cost, seconds: f64) -> Self {
        let width =
            |id: Option<&crate::ValueId>| id.and_then(|id| graph.value(*id).shape.width()).unwrap_or(0);
        let widths = [width(node.inputs.first()), width(node.output.as_ref())];
        Self { op: node.op.name(), widths, cost, seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Axis, DType, Expert, GraphBuilder, GraphError, Routed, batch, ops};

    #[test]
    fn a_row_is_multiplied_by_one_expert_but_both_are_read() -> Result<(), GraphError> {
        let mut g = GraphBuilder::new("routed");
        let x = g.input("x", DType::F32, [Axis::Rows.into(), 8.into()]);
        let blocks = [Axis::RouteBlocks.into(), (1 + batch::ROUTE_BLOCK).into()];
        let routing = g.input(batch::ROUTING, DType::U32, blocks);
        let [text, visual] = ["a", "b"].map(|name| g.weight(name, [4, 8]));
        let weight = Routed { text: Expert::Weight(text), visual: Some(Expert::Weight(visual)) };
        g.push("y", ops::Linear::routed(weight, None), &[x, routing])?;
        let graph = g.finish();
        let axes = Axes::new().with(Axis::Rows, 5).with(Axis::RouteBlocks, 1);
        let cost = Cost::of(&graph, &graph.nodes[0], &axes, Lookback::default(), &|_| 100.0);
        assert_eq!(cost.flops, 2.0 * 5.0 * 32.0);
        assert_eq!(cost.bytes, 200.0 + 4.0 * (5.0 * 8.0 + 5.0 * 4.0 + 65.0));
        let time = OpTime::new(&graph, &graph.nodes[0], cost, 1.0);
        assert_eq!((time.op, time.widths), ("linear", [8, 4]));
        Ok(())
    }

    #[test]
    fn rows_look_back_by_themselves_and_sequences_once() {
        let row = |sequence, position| RowInfo { id: 0, kv_slot: 0, position, sequence };
        let seen = Lookback::of(&[row(0, 0), row(0, 1), row(1, 9)]);
        assert_eq!((seen.pairs, seen.keys), (1.0 + 2.0 + 10.0, 2.0 + 10.0));
    }
}
