//! Weights in 8 and 4 bits: which weights, how they are rounded, and how checkpoints hold them.
//!
//! The layout is compressed-tensors' `pack-quantized` with symmetric integers in groups, which other engines read and
//! write: in place of `x.weight` a checkpoint has `x.weight_packed`, `x.weight_scale` and `x.weight_shape`, and
//! `config.json` a `quantization_config`.

mod config;
#[cfg(not(target_arch = "wasm32"))]
mod convert;
mod packed;
mod round;

pub use config::QuantizationConfig;
#[cfg(not(target_arch = "wasm32"))]
pub use convert::{ConvertError, Converted, convert};
pub use packed::{PACKED, SCALE, SHAPE, base_of, packed};
pub use round::{Quantizer, RoundingError};

use crate::model::Part;
use monolens_graph::{Bits, DType, GROUP_UNIT, Grouped};
use std::fmt;
use std::str::FromStr;

/// Elements of a group unless somebody says otherwise.
const DEFAULT_GROUP: usize = 128;

/// A wish for smaller weights: what `--weights` says.
///
/// The decoder's projections are stored in so many bits. Embeddings and the output projection, of which each row counts
/// for a token, and the little that vision and connector have are stored in 8 bits in either case. Norms, biases, the
/// patch embedding and position tables stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantization {
    /// Width of the integers of the decoder's projections.
    pub bits: Bits,
    /// Elements of a group; fewer where a row is no multiple of it.
    pub group: usize,
}

impl Quantization {
    /// How a graph's weight of this name and shape is to be stored; none if it stays as it is.
    pub fn format(self, name: &str, shape: &[usize]) -> Option<Grouped> {
        let &[_, inner] = shape else { return None };
        let bits = match Part::of(name) {
            Part::Attention | Part::VisualAttention | Part::FeedForward | Part::VisualFeedForward => {
                self.bits
            }
            Part::Embedding | Part::Output | Part::Connector | Part::Vision => Bits::Eight,
            Part::Norms | Part::Other => return None,
        };
        let halves = std::iter::successors(Some(self.group), |group| Some(group / 2));
        let group =
            halves.take_while(|&g| g >= GROUP_UNIT).find(|&g| inner > 0 && inner.is_multiple_of(g))?;
        Some(Grouped { bits, group, scale: DType::F16 })
    }
}

impl FromStr for Quantization {
    type Err = String;

    /// `8bit`, `4bit`, or with the size of a group: `4bit-g32`.
    fn from_str(text: &str) -> Result<Self, String> {
        let fail =
            || format!("expected 8bit or 4bit, perhaps with a group of 32 to 1024 (4bit-g32), got `{text}`");
        let (bits, group) = text.split_once("-g").map_or((text, None), |(bits, group)| (bits, Some(group)));
        let bits = match bits {
            "8bit" => Bits::Eight,
            "4bit" => Bits::Four,
            _ => return Err(fail()),
        };
        let group = group.map_or(Ok(DEFAULT_GROUP), |g| g.parse::<usize>().map_err(|_| fail()))?;
        let fits = group.is_power_of_two() && (GROUP_UNIT..=1024).contains(&group);
        if fits { Ok(Self { bits, group }) } else { Err(fail()) }
    }
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}bit", self.bits.count())?;
        if self.group == DEFAULT_GROUP { Ok(()) } else { write!(f, "-g{}", self.group) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_read_and_written() {
        for text in ["8bit", "4bit", "4bit-g32", "8bit-g64"] {
            assert_eq!(text.parse::<Quantization>().unwrap().to_string(), text);
        }
        for bad in ["", "2bit", "4bit-g", "4bit-g33", "4bit-g16", "4bit-g2048", "q4"] {
            assert!(bad.parse::<Quantization>().unwrap_err().contains("expected 8bit or 4bit"), "{bad}");
        }
    }

    #[test]
    fn projections_are_in_few_bits_and_tables_in_eight() {
        let four: Quantization = "4bit".parse().unwrap();
        let of = |name: &str, shape: &[usize]| four.format(name, shape).map(|g| (g.bits, g.group));
        let layer = "language_model.model.layers.0";
        let wqkv = format!("{layer}.attention.wqkv.weight");
        assert_eq!(of(&wqkv, &[512, 256]), Some((Bits::Four, 128)));
        assert_eq!(of(&wqkv, &[512, 192]), Some((Bits::Four, 64)));
        assert_eq!(of(&wqkv, &[512, 100]), None, "no whole groups");
        assert_eq!(of(&format!("{layer}.feed_forward_ve.w2.weight"), &[9, 128]), Some((Bits::Four, 128)));
        assert_eq!(of("language_model.output.weight", &[9, 128]), Some((Bits::Eight, 128)));
        assert_eq!(of("language_model.model.tok_embeddings.weight", &[9, 128]), Some((Bits::Eight, 128)));
        assert_eq!(of("mlp1.1.weight", &[9, 128]), Some((Bits::Eight, 128)));
        assert_eq!(of("vision_model.embeddings.patch_embedding.weight", &[9, 3, 8, 8]), None);
        assert_eq!(of(&format!("{layer}.attention_norm.weight"), &[128]), None);
    }
}
