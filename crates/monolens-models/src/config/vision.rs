//! `vision_config`: patch embedding, and for the modular model InternViT (spec §1, §4, §8).

use super::{ConfigError, section::Section};

/// The norm of InternViT's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisionNorm {
    /// LayerNorm with weight and bias.
    LayerNorm,
    /// RMSNorm, weight only.
    RmsNorm,
}

/// The vision side's sizes and constants. Mono uses the first three only.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Channels of a patch, Cv.
    pub hidden_size: usize,
    /// Patch side in pixels, P.
    pub patch_size: usize,
    /// Image side for which the position table was made, in pixels.
    pub image_size: usize,
    /// The encoder; none for mono.
    pub encoder: Option<VisionEncoderConfig>,
}

/// InternViT (spec §8).
#[derive(Debug, Clone, PartialEq)]
pub struct VisionEncoderConfig {
    /// Number of layers.
    pub num_layers: usize,
    /// Attention heads; divides the hidden size.
    pub num_heads: usize,
    /// Width of the feed-forward network.
    pub intermediate_size: usize,
    /// Whether `attn.qkv` has a bias.
    pub qkv_bias: bool,
    /// Whether q and k are RMS-normalised over all channels.
    pub qk_normalization: bool,
    /// Norm of the layers.
    pub norm: VisionNorm,
    /// Epsilon of all norms of the encoder.
    pub layer_norm_eps: f64,
    /// Layers to run: `select_layer` resolved against `num_layers` (0 = embeddings only).
    pub layers_used: usize,
}

impl VisionConfig {
    /// Side of the position table's grid, in patches.
    pub fn position_grid(&self) -> usize {
        self.image_size / self.patch_size
    }

    pub(super) fn read(vision: &Section, with_encoder: bool, select_layer: i64) -> Result<Self, ConfigError> {
        let channels = vision.size("num_channels", 3, 0..=1 << 16)?;
        if channels != 3 {
            return Err(ConfigError::key(vision.name("num_channels"), "3", channels.to_string()));
        }
        let patch_size = vision.size("patch_size", 14, 1..=512)?;
        let image_size = vision.size("image_size", 224, 1..=1 << 14)?;
        if image_size < patch_size || image_size / patch_size > 1024 {
            return Err(ConfigError::key(
                vision.name("image_size"),
                format!("1 to 1024 patches of {patch_size} pixels a side"),
                image_size.to_string(),
            ));
        }
        let hidden_size = vision.size("hidden_size", 3200, 1..=1 << 15)?;
        let encoder = if with_encoder {
            Some(VisionEncoderConfig::read(vision, hidden_size, select_layer)?)
        } else {
            None
        };
        Ok(VisionConfig { hidden_size, patch_size, image_size, encoder })
    }
}

impl VisionEncoderConfig {
    fn read(vision: &Section, hidden_size: usize, select_layer: i64) -> Result<Self, ConfigError> {
        if let Some(act) = vision.text("hidden_act")?
            && act != "gelu"
        {
            return Err(ConfigError::key(vision.name("hidden_act"), "`gelu`", act));
        }
        let norm = match vision.text("norm_type")? {
            Some("layer_norm") => VisionNorm::LayerNorm,
            None | Some("rms_norm") => VisionNorm::RmsNorm,
            Some(other) => {
                return Err(ConfigError::key(vision.name("norm_type"), "`layer_norm` or `rms_norm`", other));
            }
        };
        let num_heads = vision.size("num_attention_heads", 25, 1..=1024)?;
        if !hidden_size.is_multiple_of(num_heads) {
            return Err(ConfigError::key(
                vision.name("num_attention_heads"),
                format!("a divisor of hidden_size {hidden_size}"),
                num_heads.to_string(),
            ));
        }
        let num_layers = vision.size("num_hidden_layers", 48, 1..=512)?;
        Ok(VisionEncoderConfig {
            num_layers,
            num_heads,
            intermediate_size: vision.size("intermediate_size", 12_800, 1..=1 << 18)?,
            qkv_bias: vision.flag("qkv_bias", false)?,
            qk_normalization: vision.flag("qk_normalization", true)?,
            norm,
            layer_norm_eps: vision.number("layer_norm_eps", 1e-6, 0.0..=1.0)?,
            layers_used: layers_used(select_layer, num_layers)?,
        })
    }
}

/// Resolves an index into [embeddings, layer 1, …, layer n], negative from the end.
fn layers_used(select_layer: i64, num_layers: usize) -> Result<usize, ConfigError> {
    let states = num_layers as i64 + 1;
    let index = if select_layer < 0 { select_layer + states } else { select_layer };
    if (0..states).contains(&index) {
        Ok(index as usize)
    } else {
        Err(ConfigError::key(
            "select_layer",
            format!("an index into {states} hidden states, -{states} to {num_layers}"),
            select_layer.to_string(),
        ))
    }
}
