//! A model: configuration, tokenizer, weights and graphs, checked against one another.

mod error;
#[cfg(not(target_arch = "wasm32"))]
mod open;
mod parts;
#[cfg(test)]
mod tests;

pub use error::ModelError;
pub use parts::{Part, PartSize, part_sizes};

use crate::checkpoint::{CheckpointError, DType, TensorSource};
use crate::config::{Family, GenerationConfig, ModelConfig};
use crate::graphs::{self, DecoderOptions, Experts};
use crate::image::{ImageError, Preprocessed, RgbImage, TileOptions, preprocess};
use crate::prompt::{Conversation, Prompt, PromptError};
use crate::quant::Quantization;
use crate::rope::Rope;
use crate::tokenizer::Tokenizer;
use crate::weights::{Origin, Supply, check_graph, unused_tensors};
use monolens_graph::{Graph, GraphError, WeightSpec};
use std::borrow::Cow;
use std::sync::Arc;

/// What a model is made of.
pub struct ModelParts {
    /// The configuration.
    pub config: ModelConfig,
    /// Sampling defaults.
    pub generation: GenerationConfig,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The weights; a [`Layout`](crate::checkpoint::Layout) where they are fetched by range.
    pub tensors: Arc<dyn TensorSource>,
}

/// A model whose parts fit one another.
pub struct Model {
    config: ModelConfig,
    generation: GenerationConfig,
    tokenizer: Tokenizer,
    tensors: Arc<dyn TensorSource>,
    experts: Experts,
    rope: Rope,
}

/// The bytes of one weight of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight<'a> {
    /// Element type: F32, F16 or BF16.
    pub dtype: DType,
    /// Little-endian, row-major; borrowed from the checkpoint where it is stored as it is used.
    pub bytes: Cow<'a, [u8]>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.debug_struct("Model")
            .field("config", &self.config)
            .field("experts", &self.experts)
            .field("tokenizer", &self.tokenizer)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Puts a model together and checks that every tensor its graphs name is there in the right
    /// shape, and that the tokenizer's ids fit the embedding.
    ///
    /// # Errors
    /// [`ModelError`] naming the tensor or key, what was expected and what came.
    pub fn from_parts(parts: ModelParts) -> Result<Self, ModelError> {
        let ModelParts { config, generation, tokenizer, tensors } = parts;
        let experts = Experts::resolve(&config, tensors.as_ref())?;
        let model =
            Model { rope: Rope::new(&config.decoder), config, generation, tokenizer, tensors, experts };
        model.check()?;
        Ok(model)
    }

    fn check(&self) -> Result<(), ModelError> {
        let vocab_size = self.config.decoder.vocab_size;
        if self.tokenizer.vocab_size() > vocab_size {
            return Err(ModelError::Vocabulary { vocab_size, largest_id: self.tokenizer.vocab_size() - 1 });
        }
        let tensors = self.tensors.as_ref();
        let vision = self.vision_graph(false)?;
        let decoder = self.decoder_graph(&DecoderOptions::default())?;
        check_graph(&self.config, &vision, tensors)?;
        check_graph(&self.config, &decoder, tensors)?;
        if self.config.family == Family::Mono && !self.experts.feed_forward {
            log::warn!("no feed_forward_ve tensors: this mono model runs without routing");
        }
        let unused = unused_tensors(&self.config, &[&vision, &decoder], tensors);
        if let Some(first) = unused.iter().find(|name| Part::of(name) != Part::Vision) {
            log::warn!("{} tensors are not used, e.g. {first}", unused.len());
        }
        Ok(())
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Sampling defaults.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The stored tensors.
    pub fn tensors(&self) -> &dyn TensorSource {
        self.tensors.as_ref()
    }

    /// Which visual experts there are.
    pub fn experts(&self) -> &Experts {
        &self.experts
    }

    /// The rotary positions.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// The model's name for people.
    pub fn name(&self) -> &'static str {
        use crate::config::AttentionExperts as A;
        match (self.config.family, self.experts.attention) {
            (Family::Modular, _) => "InternVL-1.5 (modular)",
            (Family::Mono, A::None) => "Mono-InternVL",
            (Family::Mono, A::Qkv) => "Mono-InternVL-1.5 (qkv)",
            (Family::Mono, A::Qkvo) => "Mono-InternVL-1.5 (qkvo)",
            (Family::Mono, A::QkvoChained) => "Mono-InternVL-1.5 (qkvo, chained)",
        }
    }

    /// The decoder's graph.
    ///
    /// # Errors
    /// [`GraphError`] if the configuration contradicts itself.
    pub fn decoder_graph(&self, options: &DecoderOptions) -> Result<Graph, GraphError> {
        graphs::decoder(&self.config.decoder, &self.experts, options)
    }

    /// The vision graph; `taps` makes intermediate values outputs.
    ///
    /// # Errors
    /// [`GraphError`] if the configuration contradicts itself.
    pub fn vision_graph(&self, taps: bool) -> Result<Graph, GraphError> {
        graphs::vision(&self.config, taps)
    }

    /// Where a graph's weight comes from: which stored tensor to read, and what to make of it.
    pub fn origin<'a>(&self, weight: &'a str) -> Origin<'a> {
        Origin::of(&self.config, weight)
    }

    /// How a graph's weight gets into a backend, with a wish for smaller weights.
    ///
    /// # Errors
    /// [`CheckpointError`] if it is not stored as the configuration says.
    pub fn supply(&self, weight: &WeightSpec, wish: Option<Quantization>) -> Result<Supply, CheckpointError> {
        Supply::of(&self.config, weight, wish, &|tensor| self.tensors.info(tensor).cloned())
    }

    /// The type in which a graph's weight is handed out; none if it is stored as integers in groups.
    pub fn weight_dtype(&self, weight: &str) -> Option<DType> {
        let origin = self.origin(weight);
        let info = self.tensors.info(origin.tensor())?;
        match origin {
            Origin::Stored(_) => Some(info.dtype),
            Origin::Positions { .. } => Some(DType::F32),
        }
    }

    /// The bytes of a graph's weight of floats, derived ones included; one at a time.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`], also where it is stored as integers in groups.
    pub fn weight(&self, weight: &str) -> Result<Weight<'_>, CheckpointError> {
        let origin = self.origin(weight);
        let bytes = self.tensors.bytes(origin.tensor())?;
        let stored = self.tensors.info(origin.tensor()).map(|info| info.dtype);
        let (dtype, bytes) = origin.finish(stored.unwrap_or(DType::F32), bytes)?;
        Ok(Weight { dtype, bytes })
    }

    /// Reads every weight of a graph and looks for NaN and infinity.
    ///
    /// # Errors
    /// [`CheckpointError::NotFinite`] for the first.
    pub fn scan_finite(&self, graph: &Graph) -> Result<(), CheckpointError> {
        let names = graph.weights.iter().map(|weight| self.origin(&weight.name).tensor());
        let mut stored = names.filter(|name| self.tensors.info(name).is_some());
        stored.try_for_each(|name| self.tensors.scan_finite(name))
    }

    /// Tiles images as the model asks, within the budget.
    ///
    /// # Errors
    /// [`ImageError::TooManyImages`].
    pub fn preprocess(&self, images: &[RgbImage], options: &TileOptions) -> Result<Preprocessed, ImageError> {
        preprocess(&self.config, images, options)
    }

    /// Builds the prompt that asks `question`, given the tiles of each image.
    ///
    /// # Errors
    /// See [`Prompt::build`].
    pub fn prompt(
        &self,
        conversation: &Conversation,
        question: &str,
        tiles: &[usize],
    ) -> Result<Prompt, PromptError> {
        let per_tile = self.config.num_image_token();
        Prompt::build(&self.tokenizer, conversation, question, tiles, per_tile)
    }
}
