//! `config.json` → [`ModelConfig`], with the official classes' defaults (spec §1).
//!
//! Everything the engine cannot run is refused here, by key, with what was expected and what came;
//! sizes are bounded so that no later product of two of them can overflow or ask for absurd memory.

mod decoder;
mod error;
mod generation;
mod section;
#[cfg(test)]
mod tests;
mod vision;

pub use decoder::{AttentionExperts, DecoderConfig, RopeScaling};
pub use error::ConfigError;
pub use generation::GenerationConfig;
pub use vision::{VisionConfig, VisionEncoderConfig, VisionNorm};

use crate::quant::QuantizationConfig;
use section::Section;
use serde_json::{Map, Value};

/// Longest configuration file that is read, in bytes.
pub const MAX_CONFIG_BYTES: usize = 8 << 20;

/// Which of the models a folder holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Mono-InternVL 1.0 and 1.5: patches go straight into the decoder, which has visual experts.
    Mono,
    /// InternVL-1.5: InternViT in front of a plain decoder.
    Modular,
}

/// Order of the visual tokens after the pixel shuffle (spec §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelShuffle {
    /// `ps_version` v1: column-major.
    V1,
    /// `ps_version` v2: row-major.
    V2,
}

/// A model's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family.
    pub family: Family,
    /// Tile side in pixels, S: `force_image_size` or `vision_config.image_size`.
    pub tile_size: usize,
    /// Patches per visual token and side, s = 1 / `downsample_ratio`.
    pub shuffle: usize,
    /// Token order after the pixel shuffle.
    pub ps_version: PixelShuffle,
    /// `select_layer` as the file says.
    pub select_layer: i64,
    /// Whether images are cut into several tiles.
    pub dynamic_image_size: bool,
    /// Whether a thumbnail follows several tiles.
    pub use_thumbnail: bool,
    /// Fewest tiles of a grid.
    pub min_dynamic_patch: usize,
    /// Most tiles of a grid, thumbnail not counted.
    pub max_dynamic_patch: usize,
    /// The decoder.
    pub decoder: DecoderConfig,
    /// The vision side.
    pub vision: VisionConfig,
    /// The schemes of weights stored as integers in groups, if there are such weights.
    pub quantization: Option<QuantizationConfig>,
}

impl ModelConfig {
    /// Reads the text of `config.json`.
    ///
    /// # Errors
    /// [`ConfigError`] naming the key, what was expected, and what the file says.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let map = parse_object("config.json", json)?;
        let root = Section::root(&map);
        if let Some(kind) = root.text("model_type")?
            && kind != "internvl_chat"
        {
            return Err(ConfigError::key("model_type", "`internvl_chat`", kind));
        }
        if let Some(template) = root.text("template")?
            && template != "internlm2-chat"
        {
            return Err(ConfigError::key("template", "`internlm2-chat`", template));
        }
        let llm = root.child("llm_config")?;
        let vision = root.child("vision_config")?;
        let decoder = DecoderConfig::read(&llm)?;
        let family = family(&decoder, &vision)?;
        let select_layer = root.integer("select_layer", -4)?;
        let config = ModelConfig {
            family,
            tile_size: 0,
            shuffle: shuffle(&root)?,
            ps_version: ps_version(&root)?,
            select_layer,
            dynamic_image_size: root.flag("dynamic_image_size", false)?,
            use_thumbnail: root.flag("use_thumbnail", false)?,
            min_dynamic_patch: root.size("min_dynamic_patch", 1, 1..=256)?,
            max_dynamic_patch: root.size("max_dynamic_patch", 6, 1..=256)?,
            quantization: QuantizationConfig::read(&map)?,
            vision: VisionConfig::read(&vision, family == Family::Modular, select_layer)?,
            decoder,
        };
        let config = ModelConfig {
            tile_size: root.size("force_image_size", config.vision.image_size, 1..=1 << 13)?,
            ..config
        };
        config.check_tiles()?;
        Ok(config)
    }

    /// Patches a side of a tile: h = w = S // P.
    pub fn patches_per_side(&self) -> usize {
        self.tile_size / self.vision.patch_size
    }

    /// Visual tokens of one tile, n = (h / s)².
    pub fn num_image_token(&self) -> usize {
        let side = self.patches_per_side() / self.shuffle;
        side * side
    }

    /// Channels of a visual token before `mlp1`: s²·Cv.
    pub fn shuffled_channels(&self) -> usize {
        self.shuffle * self.shuffle * self.vision.hidden_size
    }

    fn check_tiles(&self) -> Result<(), ConfigError> {
        let unit = self.vision.patch_size * self.shuffle;
        if !self.tile_size.is_multiple_of(unit) {
            return Err(ConfigError::key(
                "force_image_size",
                format!(
                    "a multiple of patch_size / downsample_ratio = {unit} (vision_config.image_size if absent)"
                ),
                self.tile_size.to_string(),
            ));
        }
        if self.min_dynamic_patch > self.max_dynamic_patch {
            return Err(ConfigError::key(
                "min_dynamic_patch",
                format!("at most max_dynamic_patch {}", self.max_dynamic_patch),
                self.min_dynamic_patch.to_string(),
            ));
        }
        Ok(())
    }
}

/// Parses a JSON object of bounded size.
pub(crate) fn parse_object(file: &'static str, json: &[u8]) -> Result<Map<String, Value>, ConfigError> {
    let fail = |got: String| ConfigError::Json { file, got };
    if json.len() > MAX_CONFIG_BYTES {
        return Err(fail(format!("{} bytes (at most {MAX_CONFIG_BYTES})", json.len())));
    }
    match serde_json::from_slice::<Value>(json) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(fail("another JSON value".to_owned())),
        Err(error) => Err(fail(error.to_string())),
    }
}

fn family(decoder: &DecoderConfig, vision: &Section) -> Result<Family, ConfigError> {
    let expected = "`InternLM2VEForCausalLM` or `InternLM2ForCausalLM`";
    let by_decoder = match decoder.architecture.as_deref() {
        Some("InternLM2VEForCausalLM") => Family::Mono,
        Some("InternLM2ForCausalLM") => Family::Modular,
        other => {
            return Err(ConfigError::key("llm_config.architectures", expected, other.unwrap_or("nothing")));
        }
    };
    let kind = vision.text("model_type")?;
    let by_vision = match kind {
        None => by_decoder,
        Some("intern_vit_patch") => Family::Mono,
        Some("intern_vit_6b") => Family::Modular,
        Some(other) => {
            return Err(ConfigError::key(
                "vision_config.model_type",
                "`intern_vit_patch` or `intern_vit_6b`",
                other,
            ));
        }
    };
    if by_vision != by_decoder {
        return Err(ConfigError::key(
            "vision_config.model_type",
            format!(
                "the vision model that belongs to {}",
                decoder.architecture.as_deref().unwrap_or_default()
            ),
            kind.unwrap_or_default(),
        ));
    }
    Ok(by_decoder)
}

fn shuffle(root: &Section) -> Result<usize, ConfigError> {
    let ratio = root.number("downsample_ratio", 0.5, 1.0 / 64.0..=1.0)?;
    let inverse = (1.0 / ratio).round();
    if (inverse * ratio - 1.0).abs() > 1e-6 {
        return Err(ConfigError::key("downsample_ratio", "one divided by a whole number", ratio.to_string()));
    }
    Ok(inverse as usize)
}

fn ps_version(root: &Section) -> Result<PixelShuffle, ConfigError> {
    match root.text("ps_version")? {
        None | Some("v1") => Ok(PixelShuffle::V1),
        Some("v2") => Ok(PixelShuffle::V2),
        Some(other) => Err(ConfigError::key("ps_version", "`v1` or `v2`", other)),
    }
}
