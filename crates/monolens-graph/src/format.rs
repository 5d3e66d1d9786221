//! How weights are stored: each element by itself, or as small integers in groups with a common factor.

use crate::DType;
use std::fmt;

/// Elements that a group must be a multiple of: 32 elements of 4 bits fill a vector of 16 bytes on a GPU.
pub const GROUP_UNIT: usize = 32;

/// Width of a stored integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bits {
    /// -8 to 7.
    Four,
    /// -128 to 127.
    Eight,
}

impl Bits {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Four, Self::Eight];

    /// As a number.
    pub const fn count(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Integers in a 32-bit word.
    pub const fn per_word(self) -> usize {
        32 / self.count()
    }

    /// What is added to an integer before it is stored, so that no sign is: its smallest value is stored as 0.
    pub const fn offset(self) -> i32 {
        1 << (self.count() - 1)
    }

    /// Packs up to [`Bits::per_word`] integers into a word, the first in the lowest bits. Larger ones are clamped.
    pub fn pack(self, integers: &[i32]) -> u32 {
        let offset = self.offset();
        let stored = integers.iter().map(|&q| (q.clamp(-offset, offset - 1) + offset) as u32);
        stored.enumerate().fold(0, |word, (i, q)| word | (q << (i * self.count())))
    }

    /// Integer `i` of a word.
    pub const fn unpack(self, word: u32, i: usize) -> i32 {
        let mask = (1_u32 << self.count()) - 1;
        ((word >> (i * self.count())) & mask) as i32 - self.offset()
    }
}

/// A matrix [out, in] of integers in groups along its rows; element = integer times the factor (scale) of its group.
///
/// Its bytes are those of two tensors of compressed-tensors' `pack-quantized`, one after the other: `weight_packed`
/// (32-bit words [out, in·bits/32], see [`Bits::pack`]), then `weight_scale` ([out, in/group], of the type `scale`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grouped {
    /// Width of the integers.
    pub bits: Bits,
    /// Elements of a group, a multiple of [`GROUP_UNIT`].
    pub group: usize,
    /// Type of the scales: f16, bf16 or f32.
    pub scale: DType,
}

impl Grouped {
    /// Bytes of the integers of a row of `inner` elements.
    pub const fn row_bytes(self, inner: usize) -> usize {
        inner * self.bits.count() / 8
    }

    /// Groups of a row of `inner` elements.
    pub const fn groups(self, inner: usize) -> usize {
        inner / self.group
    }

    /// Why a weight of this shape cannot be stored so: expected and got.
    ///
    /// # Errors
    /// When it is no matrix, its rows are no whole groups, or group or scale are none that backends take.
    pub fn check(self, shape: &[usize]) -> Result<(), (String, String)> {
        if self.group == 0 || !self.group.is_multiple_of(GROUP_UNIT) {
            let expected = format!("groups of a multiple of {GROUP_UNIT} elements");
            return Err((expected, format!("groups of {}", self.group)));
        }
        if !self.scale.is_float() {
            return Err(("scales in f32, f16 or bf16".into(), self.scale.to_string()));
        }
        match shape {
            [_, inner] if *inner > 0 && inner.is_multiple_of(self.group) => Ok(()),
            _ => {
                let expected = format!("a matrix with rows of whole groups of {}", self.group);
                Err((expected, format!("{shape:?}")))
            }
        }
    }
}

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bit in groups of {}", self.bits.count(), self.group)
    }
}

/// How a weight is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightFormat {
    /// Each element by itself, row-major.
    Plain(DType),
    /// Integers in groups.
    Grouped(Grouped),
}

impl WeightFormat {
    /// Bytes of a weight of this shape; none if that is more than memory could hold.
    pub fn bytes(self, shape: &[usize]) -> Option<usize> {
        let elements = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
        // No weight is larger than one of four bytes an element.
        elements.checked_mul(4)?;
        Some(match self {
            Self::Plain(dtype) => elements * dtype.bytes(),
            Self::Grouped(g) => g.row_bytes(elements) + elements / g.group.max(1) * g.scale.bytes(),
        })
    }

    /// Checks that a weight of this shape can be stored so: expected and got otherwise.
    ///
    /// # Errors
    /// For integers as a weight, and as [`Grouped::check`].
    pub fn check(self, shape: &[usize]) -> Result<(), (String, String)> {
        match self {
            Self::Plain(dtype) if dtype.is_float() => Ok(()),
            Self::Plain(dtype) => Err(("f32, f16, bf16 or grouped integers".into(), dtype.to_string())),
            Self::Grouped(grouped) => grouped.check(shape),
        }
    }
}

impl From<DType> for WeightFormat {
    fn from(dtype: DType) -> Self {
        Self::Plain(dtype)
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(dtype) => dtype.fmt(f),
            Self::Grouped(grouped) => grouped.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOUR: Grouped = Grouped { bits: Bits::Four, group: 64, scale: DType::F16 };

    #[test]
    fn the_first_integer_lies_in_the_lowest_bits_without_sign() {
        assert_eq!(Bits::Four.pack(&[-8, 7, 0, 1, -1, 0, 0, 0]), 0x8887_98f0);
        assert_eq!(Bits::Eight.pack(&[-128, 127, 0, 3]), 0x8380_ff00);
        for bits in Bits::ALL {
            let all: Vec<i32> = (0..bits.per_word() as i32).map(|i| i * 2 - 8).collect();
            let word = bits.pack(&all);
            assert!(all.iter().enumerate().all(|(i, &q)| bits.unpack(word, i) == q), "{bits:?}");
        }
        assert_eq!(Bits::Four.unpack(Bits::Four.pack(&[99]), 0), 7, "clamped");
    }

    #[test]
    fn bytes_are_those_of_words_and_scales() {
        assert_eq!(WeightFormat::Grouped(FOUR).bytes(&[10, 128]), Some(10 * (64 + 2 * 2)));
        assert_eq!(WeightFormat::Plain(DType::BF16).bytes(&[10, 128]), Some(2560));
        assert_eq!(WeightFormat::Plain(DType::BF16).bytes(&[usize::MAX, 2]), None);
    }

    #[test]
    fn what_cannot_be_grouped_is_refused_with_both_sides_named() {
        let refused = |g: Grouped, shape: &[usize]| g.check(shape).unwrap_err();
        assert_eq!(FOUR.check(&[3, 128]), Ok(()));
        assert_eq!(refused(FOUR, &[3, 96]).1, "[3, 96]");
        assert!(refused(FOUR, &[3, 64, 64]).0.contains("matrix"));
        assert!(refused(Grouped { group: 48, ..FOUR }, &[3, 96]).0.contains("multiple of 32"));
        assert!(refused(Grouped { scale: DType::U32, ..FOUR }, &[3, 64]).1.contains("u32"));
        assert!(WeightFormat::Plain(DType::U32).check(&[3]).is_err());
    }
}
