//! The InternLM2 decoder with static modality routing: Mono 1.0, 1.5 in its readings, and plain
//! (spec §5–7). One builder for all: an expert is an attribute of the projection that has one.

use super::Experts;
use crate::config::{AttentionExperts, DecoderConfig};
use monolens_graph::batch::{self, key_state, value_state};
use monolens_graph::ops::{self, QkvLayout};
use monolens_graph::{Axis, DType, Expert, Graph, GraphBuilder, GraphError, Routed, ValueId};

/// What a decoder graph is built with beyond the sampled ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderOptions {
    /// Type of the KV pool.
    pub kv_dtype: DType,
    /// Give the logits of the sampled rows.
    pub logits: bool,
    /// Give `hidden.{i}` for i in 0..=L, and `hidden_final_norm`.
    pub taps: bool,
    /// Layers whose attention map is given.
    pub attention_maps: Vec<usize>,
}

impl Default for DecoderOptions {
    fn default() -> Self {
        DecoderOptions { kv_dtype: DType::F32, logits: false, taps: false, attention_maps: Vec::new() }
    }
}

/// Where the decoder's tensors are in a checkpoint.
const PREFIX: &str = "language_model";

/// Builds the decoder: packed batch in, next ids out.
///
/// # Errors
/// [`GraphError`] if the configuration contradicts itself.
pub fn decoder(
    config: &DecoderConfig,
    experts: &Experts,
    options: &DecoderOptions,
) -> Result<Graph, GraphError> {
    let mut build = Decoder { g: GraphBuilder::new("decoder"), config, experts, options };
    build.run()?;
    Ok(build.g.finish())
}

struct Decoder<'a> {
    g: GraphBuilder,
    config: &'a DecoderConfig,
    experts: &'a Experts,
    options: &'a DecoderOptions,
}

impl Decoder<'_> {
    fn run(&mut self) -> Result<(), GraphError> {
        let (width, vocab) = (self.config.hidden_size, self.config.vocab_size);
        let table_name = format!("{PREFIX}.model.tok_embeddings.weight");
        let table = self.g.weight(&table_name, [vocab, width]);
        let rows = self.rows();
        let visual_rows = self.g.input(batch::VISUAL_ROWS, DType::U32, [Axis::Rows.into()]);
        let visual = self.g.state(batch::VISUAL, DType::F32, [Axis::VisualSlots.into(), width.into()]);
        let inputs = [rows, visual_rows, visual];
        let mut x = self.g.push("embed", ops::Embed { table }, &inputs)?;
        for layer in 0..self.config.num_layers {
            self.tap(format!("hidden.{layer}"), x)?;
            x = self.attention(layer, x)?;
            x = self.feed_forward(layer, x)?;
        }
        self.tap(format!("hidden.{}", self.config.num_layers), x)?;
        if self.options.taps {
            let y = self.norm("hidden_final_norm", "norm", x)?;
            self.tap("hidden_final_norm".to_owned(), y)?;
        }

        let sample_rows = self.g.input(batch::SAMPLE_ROWS, DType::U32, [Axis::Samples.into()]);
        let last = self.g.push("sample_rows", ops::GatherRows, &[x, sample_rows])?;
        let last = self.norm("final_norm", "norm", last)?;
        let output =
            if self.config.tie_word_embeddings { table_name } else { format!("{PREFIX}.output.weight") };
        let output = self.g.weight(output, [vocab, width]);
        let logits = self.g.push("logits", ops::Linear::shared(output, None), &[last])?;
        if self.options.logits {
            self.g.output(batch::LOGITS, logits)?;
        }
        let words = [Axis::Samples.into(), batch::SAMPLING_WORDS.into()];
        let sampling = self.g.input(batch::SAMPLING, DType::U32, words);
        let words = [Axis::Samples.into(), vocab.div_ceil(32).into()];
        let seen = self.g.input(batch::SEEN, DType::U32, words);
        let next = self.g.push("sample", ops::Sample, &[logits, sampling, seen])?;
        self.g.output(batch::NEXT_IDS, next)
    }

    /// x + wo · attention(wqkv · norm(x))
    fn attention(&mut self, layer: usize, x: ValueId) -> Result<ValueId, GraphError> {
        use AttentionExperts::{None, Qkv, Qkvo, QkvoChained};
        let at = |part: &str| format!("layers.{layer}.{part}");
        let kind = self.experts.attention;
        let heads = self.config.heads();
        let scale = 1.0 / (heads.size as f32).sqrt();
        let y = self.norm(&at("attention_norm"), &at("attention_norm"), x)?;
        let shape = [heads.qkv_width(), self.config.hidden_size];
        let wqkv = at("attention.wqkv");
        let qkv = self.linear(&wqkv, shape, kind != None, self.experts.qkv_bias, y)?;

        let rows = self.rows();
        let angles = [Axis::Rows.into(), heads.size.into()];
        let angles = self.g.input(batch::ROPE, DType::F32, angles);
        let pool = [Axis::KvSlots.into(), heads.cache_width(self.options.kv_dtype).into()];
        let keys = self.g.state(&key_state(layer), self.options.kv_dtype, pool);
        let values = self.g.state(&value_state(layer), self.options.kv_dtype, pool);
        let layout = QkvLayout::Grouped;
        let rope = ops::Rope { heads, layout };
        let queries = self.g.push(at("rope"), rope, &[qkv, rows, angles, keys, values])?;

        let pages = [Axis::Sequences.into(), Axis::PagesPerSequence.into()];
        let pages = self.g.input(batch::PAGE_TABLE, DType::U32, pages);
        let blocks = [Axis::QueryBlocks.into(), 2.into()];
        let blocks = self.g.input(batch::QUERY_BLOCKS, DType::U32, blocks);
        let inputs = [queries, rows, pages, blocks, keys, values];
        let mixed = self.g.push(at("attention"), ops::Attention { heads, scale }, &inputs)?;
        if self.options.attention_maps.contains(&layer) {
            let map = ops::AttentionMap { heads, scale };
            let map = self.g.push(at("attention_map"), map, &[queries, rows, pages, keys])?;
            self.g.output(format!("attention_map.{layer}"), map)?;
        }

        let shape = [self.config.hidden_size, heads.query_width()];
        let wo = at("attention.wo");
        let split = match kind {
            Qkvo => true,
            None | Qkv | QkvoChained => false,
        };
        let mut out = self.linear(&wo, shape, split, self.experts.output_bias, mixed)?;
        if kind == QkvoChained {
            // wo_ve on the result of wo, for visual rows only.
            let name = format!("{PREFIX}.model.{wo}_ve.weight");
            let visual = Expert::Weight(self.g.weight(name, shape));
            let op = ops::Linear::routed(Routed::split(Expert::Identity, visual), Option::None);
            let routing = self.routing();
            out = self.g.push(format!("{wo}_ve"), op, &[out, routing])?;
        }
        self.g.push(at("attention.add"), ops::Add, &[x, out])
    }

    /// x + w2 · (silu(w1 · norm(x)) ∘ w3 · norm(x))
    fn feed_forward(&mut self, layer: usize, x: ValueId) -> Result<ValueId, GraphError> {
        let at = |part: &str| format!("layers.{layer}.{part}");
        let split = self.experts.feed_forward;
        let (width, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let z = self.norm(&at("ffn_norm"), &at("ffn_norm"), x)?;
        let gate = self.linear(&at("feed_forward.w1"), [inner, width], split, false, z)?;
        let up = self.linear(&at("feed_forward.w3"), [inner, width], split, false, z)?;
        let both = self.g.push(at("feed_forward.swiglu"), ops::SwiGlu, &[gate, up])?;
        let down = self.linear(&at("feed_forward.w2"), [width, inner], split, false, both)?;
        self.g.push(at("feed_forward.add"), ops::Add, &[x, down])
    }

    /// A projection; with `split`, visual rows take the weight whose module is named `…_ve`.
    fn linear(
        &mut self,
        name: &str,
        shape: [usize; 2],
        split: bool,
        bias: bool,
        x: ValueId,
    ) -> Result<ValueId, GraphError> {
        let of = |kind: &str| (format!("{PREFIX}.model.{name}.{kind}"), visual_name(name, kind));
        let (text, visual) = of("weight");
        let text = Expert::Weight(self.g.weight(text, shape));
        let visual = split.then(|| Expert::Weight(self.g.weight(visual, shape)));
        let bias = bias.then(|| {
            let (text, visual) = of("bias");
            let text = self.g.weight(text, [shape[0]]);
            let visual = split.then(|| self.g.weight(visual, [shape[0]]));
            Routed { text, visual }
        });
        let op = ops::Linear::routed(Routed { text, visual }, bias);
        let mut inputs = vec![x];
        if split {
            inputs.push(self.routing());
        }
        self.g.push(name, op, &inputs)
    }

    fn norm(&mut self, node: &str, name: &str, x: ValueId) -> Result<ValueId, GraphError> {
        let name = format!("{PREFIX}.model.{name}.weight");
        let weight = self.g.weight(name, [self.config.hidden_size]);
        let eps = self.config.rms_norm_eps as f32;
        self.g.push(node, ops::RmsNorm { weight, eps }, &[x])
    }

    fn rows(&mut self) -> ValueId {
        self.g.input(batch::ROWS, DType::U32, [Axis::Rows.into(), 4.into()])
    }

    fn routing(&mut self) -> ValueId {
        let shape = [Axis::RouteBlocks.into(), (1 + batch::ROUTE_BLOCK).into()];
        self.g.input(batch::ROUTING, DType::U32, shape)
    }

    fn tap(&mut self, name: String, x: ValueId) -> Result<(), GraphError> {
        if self.options.taps {
            self.g.output(name, x)?;
        }
        Ok(())
    }
}

/// `layers.3.attention.wqkv` → `….attention.wqkv_ve.weight`; `layers.3.feed_forward.w1` →
/// `….feed_forward_ve.w1.weight` (spec §2).
fn visual_name(name: &str, kind: &str) -> String {
    match name.split_once(".feed_forward.") {
        Some((layer, part)) => format!("{PREFIX}.model.{layer}.feed_forward_ve.{part}.{kind}"),
        None => format!("{PREFIX}.model.{name}_ve.{kind}"),
    }
}
