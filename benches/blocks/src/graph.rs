//! The blocks as graphs, the way the models' builders write them.

use monolens_graph::batch;
use monolens_graph::ops::{self, Heads, QkvLayout};
use monolens_graph::{Axis, DType, Expert, Graph, GraphBuilder, GraphError, Routed, ValueId};
use serde::{Deserialize, Serialize};

/// Widths of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sizes {
    /// Of a row.
    pub hidden: usize,
    /// Of the feed-forward network.
    pub inner: usize,
    /// Query heads.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Of a head.
    pub head: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { hidden: 2048, inner: 8192, heads: 16, kv_heads: 8, head: 128 }
    }
}

impl Sizes {
    pub(crate) fn heads(&self) -> Heads {
        Heads { query: self.heads, kv: self.kv_heads, size: self.head }
    }
}

/// A part of a decoder layer, with its norm before and its residual after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// The routed feed-forward network.
    FeedForward,
    /// Projections, rotation, attention over the cache, output projection.
    Attention,
    /// Both.
    Layer,
}

/// Prefix of the weights' names: the rule for how a weight is rounded goes by names.
const LAYER: &str = "language_model.model.layers.0";

/// `x` to `y` through a block.
pub(crate) fn graph(block: Block, sizes: &Sizes, kv: DType) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("block");
    let mut x = g.input("x", DType::F32, [Axis::Rows.into(), sizes.hidden.into()]);
    if block != Block::FeedForward {
        x = attention(&mut g, sizes, x, kv)?;
    }
    if block != Block::Attention {
        x = feed_forward(&mut g, sizes, x)?;
    }
    g.output("y", x)?;
    Ok(g.finish())
}

fn attention(g: &mut GraphBuilder, s: &Sizes, x: ValueId, kv: DType) -> Result<ValueId, GraphError> {
    let heads = s.heads();
    let rows = g.input(batch::ROWS, DType::U32, [Axis::Rows.into(), 4.into()]);
    let rope = g.input(batch::ROPE, DType::F32, [Axis::Rows.into(), heads.size.into()]);
    let pages =
        g.input(batch::PAGE_TABLE, DType::U32, [Axis::Sequences.into(), Axis::PagesPerSequence.into()]);
    let blocks = g.input(batch::QUERY_BLOCKS, DType::U32, [Axis::QueryBlocks.into(), 2.into()]);
    let pool = [Axis::KvSlots.into(), heads.kv_width().into()];
    let k = g.state(&batch::key_state(0), kv, pool);
    let v = g.state(&batch::value_state(0), kv, pool);
    let weight = g.weight(format!("{LAYER}.attention_norm.weight"), [s.hidden]);
    let y = g.push("attention_norm", ops::RmsNorm { weight, eps: 1e-5 }, &[x])?;
    let wqkv = g.weight(format!("{LAYER}.attention.wqkv.weight"), [heads.qkv_width(), s.hidden]);
    let qkv = g.push("qkv", ops::Linear::shared(wqkv, None), &[y])?;
    let turn = ops::Rope { heads, layout: QkvLayout::Grouped };
    let q = g.push("rope", turn, &[qkv, rows, rope, k, v])?;
    let scale = (heads.size as f32).powf(-0.5);
    let a = g.push("attention", ops::Attention { heads, scale }, &[q, rows, pages, blocks, k, v])?;
    let wo = g.weight(format!("{LAYER}.attention.wo.weight"), [s.hidden, heads.query_width()]);
    let o = g.push("o", ops::Linear::shared(wo, None), &[a])?;
    g.push("add_attention", ops::Add, &[x, o])
}

fn feed_forward(g: &mut GraphBuilder, s: &Sizes, x: ValueId) -> Result<ValueId, GraphError> {
    let routing =
        g.input(batch::ROUTING, DType::U32, [Axis::RouteBlocks.into(), (1 + batch::ROUTE_BLOCK).into()]);
    let weight = g.weight(format!("{LAYER}.ffn_norm.weight"), [s.hidden]);
    let z = g.push("ffn_norm", ops::RmsNorm { weight, eps: 1e-5 }, &[x])?;
    let routed = |g: &mut GraphBuilder, part: &str, shape: [usize; 2], x: ValueId| {
        let mut of =
            |expert: &str| Expert::Weight(g.weight(format!("{LAYER}.{expert}.{part}.weight"), shape));
        let (text, visual) = (of("feed_forward"), of("feed_forward_ve"));
        g.push(part, ops::Linear::routed(Routed::split(text, visual), None), &[x, routing])
    };
    let gate = routed(g, "w1", [s.inner, s.hidden], z)?;
    let up = routed(g, "w3", [s.inner, s.hidden], z)?;
    let h = g.push("swiglu", ops::SwiGlu, &[gate, up])?;
    let down = routed(g, "w2", [s.hidden, s.inner], h)?;
    g.push("add_ffn", ops::Add, &[x, down])
}
