//! `generation_config.json`: defaults for sampling (spec §11).

use super::{ConfigError, parse_object, section::Section};

/// Sampling defaults; what the file leaves out is the library's default.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationConfig {
    /// Sample instead of taking the most likely token. The published file leaves it out (false).
    pub do_sample: bool,
    /// Divides the logits; 1.0 unless given.
    pub temperature: f32,
    /// Candidates kept by rank; 50 unless given, 0 = all.
    pub top_k: usize,
    /// Candidates kept by probability mass; 1.0 unless given.
    pub top_p: f32,
    /// Divides (or multiplies) the logits of ids seen before; 1.0 unless given.
    pub repetition_penalty: f32,
    /// Longest answer in tokens, if the file gives one.
    pub max_new_tokens: Option<usize>,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        GenerationConfig {
            do_sample: false,
            temperature: 1.0,
            top_k: 50,
            top_p: 1.0,
            repetition_penalty: 1.0,
            max_new_tokens: None,
        }
    }
}

impl GenerationConfig {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`ConfigError`] if it is no JSON object or a key is out of range.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        let map = parse_object("generation_config.json", json)?;
        let root = Section::root(&map);
        Ok(GenerationConfig {
            do_sample: root.flag("do_sample", false)?,
            temperature: root.number("temperature", 1.0, 0.0..=1e4)? as f32,
            top_k: root.size("top_k", 50, 0..=1 << 24)?,
            top_p: root.number("top_p", 1.0, 0.0..=1.0)? as f32,
            repetition_penalty: root.number("repetition_penalty", 1.0, 1e-3..=1e3)? as f32,
            max_new_tokens: root.optional_size("max_new_tokens", 1..=1 << 24)?,
        })
    }
}
