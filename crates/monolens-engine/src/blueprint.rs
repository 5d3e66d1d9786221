//! What the engine takes from a model: graphs and the numbers that prompts must fit.

use crate::EngineError;
use crate::prompt::PromptShape;
use monolens_graph::plan::Capabilities;
use monolens_graph::{DType, Graph, WeightFormat, WeightSpec};
use monolens_models::Model;
use monolens_models::config::RopeScaling;
use monolens_models::graphs::DecoderOptions;
use monolens_models::quant::Quantization;

/// A model's graphs and numbers.
pub(crate) struct Blueprint {
    /// The vision graph.
    pub vision: Graph,
    /// The decoder graph.
    pub decoder: Graph,
    /// How it was built.
    pub decoder_options: DecoderOptions,
    /// Number of ids.
    pub vocab: usize,
    /// Ids that end an answer.
    pub stop_ids: [u32; 3],
    placeholder: u32,
    tokens_per_tile: usize,
    tile_size: usize,
}

impl Blueprint {
    /// Of a model, with keys and values cached as `kv_dtype`.
    pub fn new(model: &Model, kv_dtype: DType) -> Result<Self, EngineError> {
        let special = model.tokenizer().special();
        let decoder_options = DecoderOptions { kv_dtype, ..DecoderOptions::default() };
        Ok(Self {
            vision: model.vision_graph(false)?,
            decoder: model.decoder_graph(&decoder_options)?,
            decoder_options,
            vocab: model.config().decoder.vocab_size,
            stop_ids: special.stop_ids(),
            placeholder: special.img_context,
            tokens_per_tile: model.config().num_image_token(),
            tile_size: model.config().tile_size,
        })
    }

    /// What prompts must fit when a conversation may have `context` tokens.
    pub fn prompt_shape(&self, context: usize) -> PromptShape {
        PromptShape {
            vocab: self.vocab,
            placeholder: self.placeholder,
            tokens_per_tile: self.tokens_per_tile,
            tile_size: self.tile_size,
            context,
        }
    }
}

/// The type in which keys and values are cached unless the user says otherwise: f32 with f32 weights, else what suits
/// the device.
pub(crate) fn default_kv_dtype(
    model: &Model,
    wish: Option<Quantization>,
    capabilities: &Capabilities,
) -> Result<DType, EngineError> {
    let decoder = model.decoder_graph(&DecoderOptions::default())?;
    let mut used = decoder.used_weights().into_iter().map(|id| decoder.weight(id));
    let is_f32 = |weight: &WeightSpec| {
        model.supply(weight, wish).is_ok_and(|supply| supply.format() == WeightFormat::Plain(DType::F32))
    };
    // Norms and biases may be f32 beside half-precision matrices.
    let all = used.all(|weight| weight.shape.len() < 2 || is_f32(weight));
    Ok(if all { DType::F32 } else { capabilities.kv_dtype })
}

/// Tokens that a conversation may have if the user does not say: those of the training, where rotations do not stretch.
pub(crate) fn default_context(model: &Model, most: usize) -> usize {
    let decoder = &model.config().decoder;
    let trained = decoder.max_position_embeddings;
    match decoder.rope_scaling {
        RopeScaling::None => trained.min(most),
        RopeScaling::Linear { factor } => ((trained as f64 * factor) as usize).min(most),
        RopeScaling::Dynamic { .. } => most,
    }
}
