//! `llm_config`: the InternLM2 decoder (spec §1, §6, §7).

use super::{ConfigError, section::Section};
use monolens_graph::ops::Heads;

/// How rotary positions stretch beyond the trained length (spec §6).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Positions as they are.
    None,
    /// Positions divided by `factor`.
    Linear {
        /// The divisor, at least 1.
        factor: f64,
    },
    /// NTK: a larger base once a call's total length exceeds `max_position_embeddings`.
    Dynamic {
        /// The factor of the official formula, at least 1.
        factor: f64,
    },
}

/// Which attention projections have a visual expert (spec §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionExperts {
    /// Shared attention: Mono-InternVL 1.0 and the modular model.
    None,
    /// `wqkv_ve` for visual rows; `wo` shared.
    Qkv,
    /// `wqkv_ve` and `wo_ve` for visual rows.
    Qkvo,
    /// `wqkv_ve`, and `wo_ve` applied to the result of `wo` for visual rows.
    QkvoChained,
}

impl AttentionExperts {
    /// The name used in `llm_config.visual_attention_experts`.
    pub fn name(self) -> &'static str {
        match self {
            AttentionExperts::None => "none",
            AttentionExperts::Qkv => "qkv",
            AttentionExperts::Qkvo => "qkvo",
            AttentionExperts::QkvoChained => "qkvo_chained",
        }
    }

    /// Parses such a name.
    pub fn parse(name: &str) -> Option<Self> {
        use AttentionExperts::*;
        [None, Qkv, Qkvo, QkvoChained].into_iter().find(|experts| experts.name() == name)
    }
}

/// The decoder's sizes and constants.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// `architectures[0]`, if given.
    pub architecture: Option<String>,
    /// Width of the residual stream, D.
    pub hidden_size: usize,
    /// Number of layers, L.
    pub num_layers: usize,
    /// Query heads, H.
    pub num_heads: usize,
    /// Key/value heads, K; divides H.
    pub num_kv_heads: usize,
    /// Width of the feed-forward network, F.
    pub intermediate_size: usize,
    /// Entries of the token embedding, V.
    pub vocab_size: usize,
    /// Epsilon of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Whether `wqkv` and `wo` may carry a bias tensor.
    pub bias: bool,
    /// Whether the output projection is the token embedding.
    pub tie_word_embeddings: bool,
    /// Trained context length; see [`RopeScaling::Dynamic`].
    pub max_position_embeddings: usize,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Rotary scaling.
    pub rope_scaling: RopeScaling,
    /// Begin-of-sequence id.
    pub bos_token_id: u32,
    /// End-of-sequence id.
    pub eos_token_id: u32,
    /// Padding id.
    pub pad_token_id: u32,
    /// `visual_attention_experts` if the file sets it (our own key); otherwise the tensors decide.
    pub attention_experts: Option<AttentionExperts>,
}

impl DecoderConfig {
    /// Head size d = D / H.
    pub fn head_size(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// The attention heads.
    pub fn heads(&self) -> Heads {
        Heads { query: self.num_heads, kv: self.num_kv_heads, size: self.head_size() }
    }

    /// Query heads per key/value head, g = H / K.
    pub fn group_size(&self) -> usize {
        self.num_heads / self.num_kv_heads
    }

    /// Output rows of `wqkv`: K·(g+2)·d.
    pub fn qkv_rows(&self) -> usize {
        self.num_kv_heads * (self.group_size() + 2) * self.head_size()
    }

    pub(super) fn read(llm: &Section) -> Result<Self, ConfigError> {
        if let Some(kind) = llm.text("model_type")?
            && kind != "internlm2"
        {
            return Err(ConfigError::key(llm.name("model_type"), "`internlm2`", kind));
        }
        if let Some(act) = llm.text("hidden_act")?
            && act != "silu"
        {
            return Err(ConfigError::key(llm.name("hidden_act"), "`silu`", act));
        }
        let num_heads = llm.size("num_attention_heads", 32, 1..=1024)?;
        let vocab_size = llm.size("vocab_size", 103_168, 1..=1 << 22)?;
        let last_id = vocab_size - 1;
        let config = DecoderConfig {
            architecture: llm.first_text("architectures")?.map(str::to_owned),
            hidden_size: llm.size("hidden_size", 4096, 1..=1 << 16)?,
            num_layers: llm.size("num_hidden_layers", 32, 1..=512)?,
            num_heads,
            num_kv_heads: llm.size("num_key_value_heads", num_heads, 1..=1024)?,
            intermediate_size: llm.size("intermediate_size", 11_008, 1..=1 << 18)?,
            vocab_size,
            rms_norm_eps: llm.number("rms_norm_eps", 1e-6, 0.0..=1.0)?,
            bias: llm.flag("bias", true)?,
            tie_word_embeddings: llm.flag("tie_word_embeddings", false)?,
            max_position_embeddings: llm.size("max_position_embeddings", 2048, 1..=1 << 24)?,
            rope_theta: llm.number("rope_theta", 10_000.0, 1.0..=1e15)?,
            rope_scaling: rope_scaling(llm)?,
            bos_token_id: llm.size("bos_token_id", 1, 0..=last_id)? as u32,
            eos_token_id: llm.size("eos_token_id", 2, 0..=last_id)? as u32,
            pad_token_id: llm.size("pad_token_id", 0, 0..=last_id)? as u32,
            attention_experts: attention_experts(llm)?,
        };
        config.check_heads(llm)?;
        Ok(config)
    }

    fn check_heads(&self, llm: &Section) -> Result<(), ConfigError> {
        if !self.hidden_size.is_multiple_of(self.num_heads) {
            return Err(ConfigError::key(
                llm.name("num_attention_heads"),
                format!("a divisor of hidden_size {}", self.hidden_size),
                self.num_heads.to_string(),
            ));
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return Err(ConfigError::key(
                llm.name("num_key_value_heads"),
                format!("a divisor of num_attention_heads {}", self.num_heads),
                self.num_kv_heads.to_string(),
            ));
        }
        let head = self.head_size();
        let dynamic = matches!(self.rope_scaling, RopeScaling::Dynamic { .. });
        if !head.is_multiple_of(2) || (dynamic && head < 4) {
            return Err(ConfigError::key(
                llm.name("hidden_size"),
                "an even head size (hidden_size / num_attention_heads), at least 4 with dynamic rope_scaling",
                format!("{head}"),
            ));
        }
        Ok(())
    }
}

fn rope_scaling(llm: &Section) -> Result<RopeScaling, ConfigError> {
    let Some(value) = llm.get("rope_scaling") else {
        return Ok(RopeScaling::None);
    };
    let expected = "null or {\"type\": \"linear\" or \"dynamic\", \"factor\": a number of at least 1}";
    let wrong = || llm.wrong("rope_scaling", expected, value);
    let kind = value.get("type").and_then(|kind| kind.as_str()).ok_or_else(wrong)?;
    let factor = value
        .get("factor")
        .and_then(|factor| factor.as_f64())
        .filter(|factor| (1.0..=1e6).contains(factor))
        .ok_or_else(wrong)?;
    match kind {
        "linear" => Ok(RopeScaling::Linear { factor }),
        "dynamic" => Ok(RopeScaling::Dynamic { factor }),
        _ => Err(wrong()),
    }
}

fn attention_experts(llm: &Section) -> Result<Option<AttentionExperts>, ConfigError> {
    let key = "visual_attention_experts";
    llm.text(key)?
        .map(|name| {
            AttentionExperts::parse(name)
                .ok_or_else(|| ConfigError::key(llm.name(key), "none, qkv, qkvo or qkvo_chained", name))
        })
        .transpose()
}
