//! Where weights come from: anything that hands out one tensor at a time.

use super::{CheckpointError, DType, TensorInfo};
use half::{bf16, f16};
use std::borrow::Cow;

/// A set of named tensors, read one at a time.
///
/// Implemented by [`Checkpoint`](super::Checkpoint) (mapped files, bytes in memory) and by
/// [`RandomWeights`](crate::random::RandomWeights) (made up on the way).
pub trait TensorSource: Send + Sync {
    /// Names of all tensors, sorted.
    fn names(&self) -> Vec<&str>;

    /// Type and shape of one tensor.
    fn info(&self, tensor: &str) -> Option<&TensorInfo>;

    /// The bytes of one tensor, little-endian, row-major: borrowed where the source holds them.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`].
    fn bytes(&self, tensor: &str) -> Result<Cow<'_, [u8]>, CheckpointError>;

    /// One tensor's values widened to f32.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`], or [`CheckpointError::DType`] if it is no weight.
    fn values(&self, tensor: &str) -> Result<Vec<f32>, CheckpointError> {
        let bytes = self.bytes(tensor)?;
        let dtype = self.info(tensor).map_or(DType::F32, |info| info.dtype);
        widen(dtype, &bytes)
            .ok_or_else(|| CheckpointError::DType { tensor: tensor.to_owned(), got: dtype.name() })
    }

    /// Looks for NaN and infinity in one tensor.
    ///
    /// # Errors
    /// [`CheckpointError::NotFinite`] for the first such element; otherwise as [`Self::bytes`].
    fn scan_finite(&self, tensor: &str) -> Result<(), CheckpointError> {
        let bytes = self.bytes(tensor)?;
        let dtype = self.info(tensor).map_or(DType::F32, |info| info.dtype);
        match first_not_finite(dtype, &bytes) {
            None => Ok(()),
            Some((index, value)) => {
                Err(CheckpointError::NotFinite { tensor: tensor.to_owned(), index, value })
            }
        }
    }
}

/// Widens little-endian weights to f32; none if `dtype` is no weight type.
pub fn widen(dtype: DType, bytes: &[u8]) -> Option<Vec<f32>> {
    let half_words = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        DType::F32 => {
            let words = bytes.as_chunks::<4>().0.iter();
            Some(words.map(|word| f32::from_le_bytes(*word)).collect())
        }
        DType::F16 => Some(half_words().map(|word| f16::from_le_bytes(*word).to_f32()).collect()),
        DType::BF16 => Some(half_words().map(|word| bf16::from_le_bytes(*word).to_f32()).collect()),
        _ => None,
    }
}

/// Index and value of the first NaN or infinity among little-endian weights.
pub fn first_not_finite(dtype: DType, bytes: &[u8]) -> Option<(usize, f32)> {
    let half_words = || bytes.as_chunks::<2>().0.iter();
    match dtype {
        DType::F32 => {
            let mut words = bytes.as_chunks::<4>().0.iter();
            words
                .position(|word| !f32::from_le_bytes(*word).is_finite())
                .map(|i| (i, f32::from_le_bytes(bytes.as_chunks::<4>().0[i])))
        }
        DType::F16 => half_words()
            .map(|word| f16::from_le_bytes(*word))
            .enumerate()
            .find(|(_, x)| !x.is_finite())
            .map(|(i, x)| (i, x.to_f32())),
        DType::BF16 => half_words()
            .map(|word| bf16::from_le_bytes(*word))
            .enumerate()
            .find(|(_, x)| !x.is_finite())
            .map(|(i, x)| (i, x.to_f32())),
        _ => None,
    }
}
