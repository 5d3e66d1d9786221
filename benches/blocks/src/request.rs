//! What is asked for, as JSON.

use crate::graph::{Block, Sizes};
use monolens_models::quant::Quantization;
use serde::{Deserialize, Deserializer};

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendName {
    /// Plain Rust.
    #[default]
    Cpu,
    /// WGSL on wgpu; software adapters too, if there is no other.
    Wgpu,
}

/// Rows of one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Tokens of the step.
    pub rows: usize,
    /// How many of them are visual, in one run.
    #[serde(default)]
    pub visual: usize,
    /// Tokens that are there already.
    #[serde(default)]
    pub depth: usize,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weights {
    /// Floats of four bytes.
    F32,
    /// Floats of two bytes, as the published models'.
    Bf16,
    /// Rounded to integers in groups.
    Rounded(Quantization),
}

impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            other => other.parse().map(Self::Rounded).map_err(serde::de::Error::custom),
        }
    }
}

/// A whole request; what is left out has the value of Mono-InternVL-2B.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Where to compute.
    pub backend: BackendName,
    /// A part of the GPU's name.
    pub device: Option<String>,
    /// The capability tier (wgpu).
    pub tier: Option<String>,
    /// Widths of the layer.
    pub sizes: Sizes,
    /// How weights are stored.
    pub weights: Weights,
    /// Blocks to time.
    pub blocks: Vec<Block>,
    /// Rows to time each with.
    pub rows: Vec<Rows>,
    /// Measurements of each, after one that does not count.
    pub repeat: usize,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            backend: BackendName::Cpu,
            device: None,
            tier: None,
            sizes: Sizes::default(),
            weights: Weights::Bf16,
            blocks: vec![Block::FeedForward, Block::Attention, Block::Layer],
            rows: vec![Rows { rows: 310, visual: 256, depth: 0 }, Rows { rows: 1, visual: 0, depth: 310 }],
            repeat: 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_the_two_billion_model() {
        let request: Request = serde_json::from_str(r#"{"weights": "4bit", "rows": [{"rows": 7}]}"#).unwrap();
        assert_eq!(request.sizes, Sizes::default());
        assert_eq!(request.rows, [Rows { rows: 7, visual: 0, depth: 0 }]);
        assert!(matches!(request.weights, Weights::Rounded(_)));
    }

    #[test]
    fn unknown_words_are_refused() {
        for bad in [r#"{"weights": "5bit"}"#, r#"{"blocks": ["norm"]}"#, r#"{"row": []}"#] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }
}
