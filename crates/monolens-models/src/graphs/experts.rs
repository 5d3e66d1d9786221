//! Which visual experts a checkpoint has: decided by its tensors (spec §6, §7).

use crate::checkpoint::{CheckpointError, TensorSource};
use crate::config::{AttentionExperts, Family, ModelConfig};

/// The visual experts and optional biases of a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Experts {
    /// `feed_forward_ve` beside `feed_forward`.
    pub feed_forward: bool,
    /// `wqkv_ve`, `wo_ve`.
    pub attention: AttentionExperts,
    /// Whether `wqkv` has a bias.
    pub qkv_bias: bool,
    /// Whether `wo` has a bias.
    pub output_bias: bool,
}

impl Experts {
    /// Looks at the tensors, and at `llm_config.visual_attention_experts` where it is set.
    ///
    /// # Errors
    /// [`CheckpointError::Experts`]: experts in a modular checkpoint, `wo_ve` without `wqkv_ve`,
    /// or an override that asks for tensors which are not there.
    pub fn resolve(config: &ModelConfig, tensors: &dyn TensorSource) -> Result<Self, CheckpointError> {
        let names = tensors.names();
        let any =
            |part: &str| names.iter().any(|name| name.starts_with("language_model.") && name.contains(part));
        let feed_forward = any(".feed_forward_ve.");
        let (qkv, output) = (any(".attention.wqkv_ve."), any(".attention.wo_ve."));
        if config.family == Family::Modular && (feed_forward || qkv || output) {
            return Err(CheckpointError::Experts {
                expected: "none in a decoder of architecture InternLM2ForCausalLM".to_owned(),
                got: found(feed_forward, qkv, output),
            });
        }
        let bias = config.decoder.bias;
        Ok(Experts {
            feed_forward,
            attention: attention(config.decoder.attention_experts, qkv, output)?,
            qkv_bias: bias && any(".attention.wqkv.bias"),
            output_bias: bias && any(".attention.wo.bias"),
        })
    }

    /// Whether any projection is routed by modality.
    pub fn any(&self) -> bool {
        self.feed_forward || self.attention != AttentionExperts::None
    }
}

fn attention(
    wish: Option<AttentionExperts>,
    qkv: bool,
    output: bool,
) -> Result<AttentionExperts, CheckpointError> {
    let fail = |expected: &str| {
        Err(CheckpointError::Experts { expected: expected.to_owned(), got: found(false, qkv, output) })
    };
    use AttentionExperts::*;
    match wish {
        Option::None => match (qkv, output) {
            (false, false) => Ok(None),
            (true, false) => Ok(Qkv),
            (true, true) => Ok(Qkvo),
            (false, true) => fail("attention.wqkv_ve wherever there is attention.wo_ve"),
        },
        Some(None) => Ok(None),
        Some(Qkv) if !qkv => fail("attention.wqkv_ve, as visual_attention_experts says qkv"),
        Some(Qkvo | QkvoChained) if !(qkv && output) => {
            fail("attention.wqkv_ve and attention.wo_ve, as visual_attention_experts says")
        }
        Some(wish) => Ok(wish),
    }
}

fn found(feed_forward: bool, qkv: bool, output: bool) -> String {
    let parts = [(feed_forward, "feed_forward_ve"), (qkv, "attention.wqkv_ve"), (output, "attention.wo_ve")];
    let names: Vec<_> = parts.iter().filter(|p| p.0).map(|p| p.1).collect();
    if names.is_empty() { "none of them".to_owned() } else { names.join(", ") }
}
