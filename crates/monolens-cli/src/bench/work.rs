//! What a step of the decoder is in operations and bytes, by its graph.

use anyhow::Result;
use monolens_engine::Quantization;
use monolens_graph::plan::{Capabilities, Plan};
use monolens_graph::{Axes, Axis, Cost, Lookback, Op};
use monolens_models::Model;
use monolens_models::graphs::DecoderOptions;

/// Work of the decoder on text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Multiplications and additions with weights a row, the output projection not counted.
    pub flops_a_row: f64,
    /// Those of the output projection, once for each row that is sampled.
    pub flops_a_sample: f64,
    /// Multiplications and additions a row and token of its context, in attention.
    pub flops_a_key: f64,
    /// Multiplications and additions of the vision part, a tile.
    pub flops_a_tile: f64,
    /// Bytes of weights that one step reads, whatever its rows; of the embedding table nothing.
    pub weight_bytes: f64,
    /// Bytes of keys and values of a token.
    pub kv_bytes: f64,
}

impl Work {
    /// Of a model with weights as they are loaded, a token's keys and values taking `kv_bytes`.
    ///
    /// # Errors
    /// A model that contradicts itself.
    pub fn of(
        model: &Model,
        wish: Option<Quantization>,
        capabilities: &Capabilities,
        kv_bytes: u64,
    ) -> Result<Self> {
        let graph = model.decoder_graph(&DecoderOptions::default())?;
        let plan = Plan::text_only(&graph, capabilities, Axes::new());
        let d = &model.config().decoder;
        let mut work = Self {
            flops_a_row: 0.0,
            flops_a_sample: 0.0,
            flops_a_key: (4 * d.num_layers * d.num_heads * d.head_size()) as f64,
            flops_a_tile: 0.0,
            weight_bytes: 0.0,
            kv_bytes: kv_bytes as f64,
        };
        for node in &plan.graph.nodes {
            if matches!(node.op, Op::Embed(_)) {
                continue;
            }
            for weight in node.op.weights().into_iter().map(|id| plan.graph.weight(id)) {
                let format = model.supply(weight, wish)?.format();
                work.weight_bytes += format.bytes(&weight.shape).map_or(0.0, |bytes| bytes as f64);
                let elements = weight.shape.iter().product::<usize>() as f64;
                match (weight.shape.len(), node.name.as_str()) {
                    (2, "logits") => work.flops_a_sample += 2.0 * elements,
                    (2, _) => work.flops_a_row += 2.0 * elements,
                    _ => {}
                }
            }
        }
        let tile = Axes::new().with(Axis::Tiles, 1);
        let vision = Plan::new(&model.vision_graph(false)?, capabilities, tile).graph;
        let cost = |node| Cost::of(&vision, node, &tile, Lookback::default(), &|_| 0.0);
        work.flops_a_tile = vision.nodes.iter().map(|node| cost(node).flops).sum();
        Ok(work)
    }

    /// Operations of a prompt of `rows` tokens after `depth` others; its last row is sampled.
    pub fn prompt_flops(&self, rows: usize, depth: usize) -> f64 {
        let keys = (depth + rows.div_ceil(2)) as f64;
        rows as f64 * (self.flops_a_row + keys * self.flops_a_key) + self.flops_a_sample
    }

    /// Operations of one token for each of `batch` sequences after `depth` others.
    pub fn token_flops(&self, batch: usize, depth: usize) -> f64 {
        batch as f64 * (self.flops_a_row + self.flops_a_sample + depth as f64 * self.flops_a_key)
    }

    /// Bytes read for that token.
    pub fn token_bytes(&self, batch: usize, depth: usize) -> f64 {
        self.weight_bytes + (batch * depth) as f64 * self.kv_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolens_graph::DType;
    use monolens_graph::plan::Fusions;
    use monolens_models::checkpoint::DType as StoredDType;
    use monolens_models::random::Preset;

    #[test]
    fn the_work_of_the_two_billion_model_is_that_of_its_text_weights() {
        let model = Model::random(Preset::Mono2b, StoredDType::BF16, 1, None).unwrap();
        let capabilities =
            Capabilities { fusions: Fusions::ALL, max_binding: u64::MAX, kv_dtype: DType::BF16 };
        let work = |wish: Option<&str>| {
            let wish = wish.map(|w| w.parse().unwrap());
            Work::of(&model, wish, &capabilities, 98_304).unwrap()
        };
        let stored = work(None);
        // wqkv, wo and the feed-forward network of 24 layers.
        let row = 2.0 * 24.0 * (4096.0 * 2048.0 + 2048.0 * 2048.0 + 3.0 * 8192.0 * 2048.0);
        assert_eq!(stored.flops_a_row, row);
        assert_eq!(stored.flops_a_sample, 2.0 * 92_553.0 * 2048.0);
        assert_eq!(stored.token_bytes(2, 10) - stored.token_bytes(1, 0), 20.0 * 98_304.0);
        let four = work(Some("4bit"));
        // 4.125 bits a weight in the layers, 8.125 in the output projection; norms stay.
        let expected = row / 2.0 * 4.125 / 8.0 + 92_553.0 * 2048.0 * 8.125 / 8.0;
        assert!((four.weight_bytes / expected - 1.0).abs() < 1e-3, "{} {expected}", four.weight_bytes);
        assert!(stored.weight_bytes / four.weight_bytes > 3.3);
    }
}
