//! Element types.

use std::fmt;

/// The element type of a value, of a weight whose elements are stored one by one, or of the scales of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE single precision; all activations and accumulators.
    F32,
    /// IEEE half precision; weights only.
    F16,
    /// bfloat16: the upper half of an [`DType::F32`]; weights and, optionally, the KV cache.
    BF16,
    /// Ids, indices and bit masks.
    U32,
    /// Integers of 8 bits, a head's with a factor before them ([`crate::eight`]); the KV cache only. A width of this type
    /// counts bytes, those of the factors among them.
    I8,
}

impl DType {
    /// Size of one element in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::U32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::I8 => 1,
        }
    }

    /// Whether each element by itself is a real number.
    pub const fn is_float(self) -> bool {
        !matches!(self, Self::U32 | Self::I8)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::U32 => "u32",
            Self::I8 => "i8",
        })
    }
}
