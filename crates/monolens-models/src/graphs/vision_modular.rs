//! InternViT in front of the visual tokens: the modular InternVL-1.5 (spec §8).

use super::visual_tokens::{patches, tokens};
use crate::config::{ModelConfig, VisionEncoderConfig, VisionNorm};
use monolens_graph::ops::{self, TileAttention};
use monolens_graph::{Graph, GraphBuilder, GraphError, ValueId};

/// Builds the vision graph: pixels in, visual embeddings into their state. `taps` makes the
/// intermediate values outputs.
///
/// # Errors
/// [`GraphError`] if the configuration contradicts itself.
pub fn vision_modular(
    config: &ModelConfig,
    encoder: &VisionEncoderConfig,
    taps: bool,
) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new("vision");
    let mut x = patches(&mut g, config, true, taps)?;
    let mut hidden = vec![x];
    for index in 0..encoder.layers_used {
        let mut layer = Layer {
            g: &mut g,
            prefix: format!("vision_model.encoder.layers.{index}"),
            encoder,
            width: config.vision.hidden_size,
        };
        x = layer.attention(x)?;
        x = layer.feed_forward(x)?;
        hidden.push(x);
    }
    if taps {
        for (i, value) in hidden.into_iter().enumerate() {
            g.output(format!("vision_hidden.{i}"), value)?;
        }
    }
    tokens(&mut g, config, true, x, taps)?;
    Ok(g.finish())
}

struct Layer<'a> {
    g: &'a mut GraphBuilder,
    prefix: String,
    encoder: &'a VisionEncoderConfig,
    width: usize,
}

impl Layer<'_> {
    /// x + ls1 ∘ proj(attention(norm1(x)))
    fn attention(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        let width = self.width;
        let heads = self.encoder.num_heads;
        let y = self.norm("norm1", x)?;
        let mut y = self.linear("attn.qkv", [3 * width, width], self.encoder.qkv_bias, y)?;
        if self.encoder.qk_normalization {
            let op = ops::QkNorm {
                q: self.vector("attn.q_norm.weight"),
                k: self.vector("attn.k_norm.weight"),
                eps: self.encoder.layer_norm_eps as f32,
            };
            y = self.g.push(self.at("attn.qk_norm"), op, &[y])?;
        }
        let scale = 1.0 / ((width / heads) as f32).sqrt();
        let op = TileAttention { heads, scale };
        let y = self.g.push(self.at("attn.attention"), op, &[y])?;
        let y = self.linear("attn.proj", [width, width], true, y)?;
        self.add("ls1", x, y)
    }

    /// x + ls2 ∘ fc2(gelu(fc1(norm2(x))))
    fn feed_forward(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        let (width, inner) = (self.width, self.encoder.intermediate_size);
        let y = self.norm("norm2", x)?;
        let y = self.linear("mlp.fc1", [inner, width], true, y)?;
        let y = self.g.push(self.at("mlp.act"), ops::Gelu, &[y])?;
        let y = self.linear("mlp.fc2", [width, inner], true, y)?;
        self.add("ls2", x, y)
    }

    fn norm(&mut self, name: &str, x: ValueId) -> Result<ValueId, GraphError> {
        let eps = self.encoder.layer_norm_eps as f32;
        let weight = self.vector(&format!("{name}.weight"));
        match self.encoder.norm {
            VisionNorm::RmsNorm => {
                let op = ops::RmsNorm { weight, eps };
                self.g.push(self.at(name), op, &[x])
            }
            VisionNorm::LayerNorm => {
                let bias = self.vector(&format!("{name}.bias"));
                let op = ops::LayerNorm { weight, bias, eps };
                self.g.push(self.at(name), op, &[x])
            }
        }
    }

    fn linear(
        &mut self,
        name: &str,
        shape: [usize; 2],
        bias: bool,
        x: ValueId,
    ) -> Result<ValueId, GraphError> {
        let weight = self.g.weight(self.at(&format!("{name}.weight")), shape);
        let bias = bias.then(|| {
            let name = self.at(&format!("{name}.bias"));
            self.g.weight(name, [shape[0]])
        });
        let op = ops::Linear::shared(weight, bias);
        self.g.push(self.at(name), op, &[x])
    }

    fn add(&mut self, name: &str, x: ValueId, y: ValueId) -> Result<ValueId, GraphError> {
        let scale = self.vector(name);
        let op = ops::ScaledAdd { scale };
        self.g.push(self.at(&format!("{name}.add")), op, &[x, y])
    }

    fn vector(&mut self, name: &str) -> monolens_graph::WeightId {
        let name = self.at(name);
        self.g.weight(name, [self.width])
    }

    fn at(&self, part: &str) -> String {
        format!("{}.{part}", self.prefix)
    }
}
