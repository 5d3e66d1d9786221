//! How an engine divides its device's memory and time.

use crate::EngineError;
use monolens_graph::DType;
use monolens_models::quant::Quantization;

/// Options of an [`crate::Engine`]. The default suits a desktop with one user.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineOptions {
    /// Tokens that a conversation may have, prompt and answer. None: what the model was trained for, 16,384 at most.
    pub context: Option<usize>,
    /// Tokens that the KV pool holds, all conversations and the prefix cache together. None: as `context`.
    pub kv_tokens: Option<usize>,
    /// Type of cached keys and values ([`kv_type`]). None: f32 if the weights are f32, else what suits the device.
    pub kv_dtype: Option<DType>,
    /// Weights rounded to 8 or 4 bits while they are loaded. None: as stored.
    pub weights: Option<Quantization>,
    /// Prompt rows in a step at most: smaller steps mean less memory and more frequent events.
    pub chunk: usize,
    /// Seconds that one kernel launch may hold the device: steps get fewer rows where a launch takes longer.
    pub launch_seconds: f64,
    /// Sequences that may run at once.
    pub sequences: usize,
    /// Tiles that one run of the vision program takes.
    pub tiles_per_run: usize,
    /// Tiles whose embeddings may wait on the device for their prefill; at least `tiles_per_run` are kept.
    pub waiting_tiles: usize,
    /// Whether beginnings of earlier prompts are reused.
    pub prefix_cache: bool,
    /// Whether every weight is checked for NaN and infinity while it is loaded.
    pub check_finite: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            context: None,
            kv_tokens: None,
            kv_dtype: None,
            weights: None,
            chunk: 512,
            launch_seconds: if cfg!(target_arch = "wasm32") { 0.025 } else { 0.5 },
            sequences: 8,
            tiles_per_run: 4,
            waiting_tiles: 6,
            prefix_cache: true,
            check_finite: true,
        }
    }
}

impl EngineOptions {
    /// Context taken when none is asked for and the model would allow more.
    pub const DEFAULT_CONTEXT: usize = 16_384;

    /// Checks every option's range.
    ///
    /// # Errors
    /// [`EngineError::Setting`] for the first that is out of range.
    pub fn check(&self) -> Result<(), EngineError> {
        let range = |name: &'static str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(EngineError::Setting { name, expected: format!("1 to {most}"), got: value.to_string() })
        };
        range("chunk", self.chunk, 1 << 16)?;
        range("sequences", self.sequences, 1 << 12)?;
        range("tiles_per_run", self.tiles_per_run, 64)?;
        range("waiting_tiles", self.waiting_tiles, 1 << 10)?;
        range("context", self.context.unwrap_or(1), 1 << 24)?;
        range("kv_tokens", self.kv_tokens.unwrap_or(1), 1 << 28)?;
        match self.kv_dtype {
            None | Some(DType::F32 | DType::BF16 | DType::I8) => Ok(()),
            Some(other) => Err(EngineError::Setting {
                name: "kv_dtype",
                expected: "f32, bf16 or i8".into(),
                got: other.to_string(),
            }),
        }
    }
}

/// The names by which people choose a type of cached keys and values.
const KV_TYPES: [(&str, DType); 3] = [("8bit", DType::I8), ("bf16", DType::BF16), ("f32", DType::F32)];

/// The type of cached keys and values of a name: `8bit`, `bf16` or `f32`.
///
/// # Errors
/// Another name, with those that there are.
pub fn kv_type(name: &str) -> Result<DType, String> {
    let found = KV_TYPES.iter().find(|(known, _)| *known == name);
    found.map(|&(_, dtype)| dtype).ok_or_else(|| format!("expected 8bit, bf16 or f32, got `{name}`"))
}

/// The name of a type of cached keys and values.
pub fn kv_type_name(dtype: DType) -> String {
    let found = KV_TYPES.iter().find(|(_, known)| *known == dtype);
    found.map_or_else(|| dtype.to_string(), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_keys_and_values_have_names() {
        for (name, dtype) in KV_TYPES {
            assert_eq!((kv_type(name), kv_type_name(dtype).as_str()), (Ok(dtype), name));
            assert!(EngineOptions { kv_dtype: Some(dtype), ..EngineOptions::default() }.check().is_ok());
        }
        assert_eq!(kv_type("4bit"), Err("expected 8bit, bf16 or f32, got `4bit`".into()));
        let error = EngineOptions { kv_dtype: Some(DType::F16), ..EngineOptions::default() }.check();
        assert!(error.unwrap_err().to_string().contains("expected f32, bf16 or i8, got f16"));
    }
}
