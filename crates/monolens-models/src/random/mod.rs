//! Made-up weights at any size, for benchmarks and tests without a checkpoint.
//!
//! Every tensor is made when it is asked for, from its name and the seed alone: nothing is stored,
//! and the same preset gives the same bytes everywhere.

mod preset;

pub use preset::Preset;

use crate::checkpoint::{CheckpointError, DType, TensorInfo, TensorSource};
use crate::config::{AttentionExperts, ModelConfig};
use crate::graphs::{self, DecoderOptions, Experts};
use crate::model::{Model, ModelError, ModelParts};
use crate::tokenizer::{Tokenizer, TokenizerJson};
use crate::weights::Origin;
use half::{bf16, f16};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The small tokenizer of the tests: 512 ids, the official model's chat tokens and tags.
pub const TINY_TOKENIZER: &[u8] = include_bytes!("../../assets/tiny-tokenizer.model");

/// SplitMix64: a small deterministic generator.
#[derive(Debug, Clone)]
pub struct SplitMix(u64);

impl SplitMix {
    /// A generator with the given seed.
    pub fn new(seed: u64) -> Self {
        SplitMix(seed)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A random index below `n` (0 if `n` is 0).
    pub fn below(&mut self, n: usize) -> usize {
        (self.next_u64() % n.max(1) as u64) as usize
    }
}

/// Random tensors by name.
#[derive(Debug, Clone)]
pub struct RandomWeights {
    tensors: BTreeMap<String, TensorInfo>,
    seed: u64,
}

impl RandomWeights {
    /// Every tensor that the graphs of a configuration with these experts name, stored as `dtype`
    /// (F32, F16 or BF16; anything else counts as F32).
    ///
    /// # Errors
    /// [`ModelError::Graph`] if the configuration contradicts itself.
    pub fn new(config: &ModelConfig, experts: &Experts, dtype: DType, seed: u64) -> Result<Self, ModelError> {
        let dtype = if dtype.is_weight() { dtype } else { DType::F32 };
        let vision = graphs::vision(config, false)?;
        let decoder = graphs::decoder(&config.decoder, experts, &DecoderOptions::default())?;
        let mut tensors = BTreeMap::new();
        for weight in vision.weights.iter().chain(&decoder.weights) {
            let origin = Origin::of(config, &weight.name);
            let shape = origin.stored_shape(&weight.shape);
            let elements: u64 = shape.iter().map(|&dim| dim as u64).product();
            let info = TensorInfo { dtype, shape, range: 0..elements * dtype.size() };
            tensors.insert(origin.tensor().to_owned(), info);
        }
        Ok(RandomWeights { tensors, seed })
    }

    /// Number of parameters.
    pub fn parameters(&self) -> u64 {
        self.tensors.values().map(TensorInfo::elements).sum()
    }

    /// Centre and half width of a tensor's uniform values: activations keep their size.
    fn spread(&self, name: &str, shape: &[usize]) -> (f32, f32) {
        let norm = name.ends_with("norm.weight")
            || name.ends_with("norm1.weight")
            || name.ends_with("norm2.weight")
            || name == "mlp1.0.weight";
        if norm {
            return (1.0, 0.1);
        }
        match shape {
            // Biases, layer scales.
            [_] => (0.0, 0.05),
            // Position table, class token.
            [1, ..] => (0.0, 0.1),
            _ if name.contains("tok_embeddings") => (0.0, 0.1),
            [_, rest @ ..] => {
                let inputs: usize = rest.iter().product();
                (0.0, (3.0 / inputs as f32).sqrt())
            }
            [] => (0.0, 1.0),
        }
    }
}

impl TensorSource for RandomWeights {
    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    fn info(&self, tensor: &str) -> Option<&TensorInfo> {
        self.tensors.get(tensor)
    }

    fn bytes(&self, tensor: &str) -> Result<Cow<'_, [u8]>, CheckpointError> {
        let info = self.tensors.get(tensor).ok_or_else(|| CheckpointError::MissingTensor {
            tensor: tensor.to_owned(),
            expected: "one of the random model's".to_owned(),
        })?;
        let (center, width) = self.spread(tensor, &info.shape);
        let mut rng = SplitMix::new(self.seed ^ hash(tensor));
        let count = info.elements() as usize;
        let mut out = Vec::with_capacity(info.bytes() as usize);
        let mut bits = 0u64;
        for i in 0..count {
            if i % 4 == 0 {
                bits = rng.next_u64();
            }
            let value = center + f32::from(bits as i16) * (width / 32768.0);
            bits >>= 16;
            match info.dtype {
                DType::BF16 => out.extend_from_slice(&bf16::from_f32(value).to_le_bytes()),
                DType::F16 => out.extend_from_slice(&f16::from_f32(value).to_le_bytes()),
                _ => out.extend_from_slice(&value.to_le_bytes()),
            }
        }
        Ok(Cow::Owned(out))
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Model {
    /// A model with random weights. Without a tokenizer it takes the small one of the tests, whose
    /// ids fit any vocabulary of at least 512.
    ///
    /// # Errors
    /// [`ModelError`] if the tokenizer does not fit the preset.
    pub fn random(
        preset: Preset,
        dtype: DType,
        seed: u64,
        tokenizer: Option<Tokenizer>,
    ) -> Result<Self, ModelError> {
        let config = ModelConfig::from_json(preset.config_json().as_bytes())?;
        let experts = Experts {
            feed_forward: preset != Preset::Modular2b,
            attention: config.decoder.attention_experts.unwrap_or(AttentionExperts::None),
            qkv_bias: false,
            output_bias: false,
        };
        let tokenizer = match tokenizer {
            Some(tokenizer) => tokenizer,
            None => Tokenizer::from_model(TINY_TOKENIZER, &TokenizerJson::default())?,
        };
        let tensors = RandomWeights::new(&config, &experts, dtype, seed)?;
        Model::from_parts(ModelParts {
            config,
            generation: Default::default(),
            tokenizer,
            tensors: Arc::new(tensors),
        })
    }
}
