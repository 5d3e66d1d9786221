//! What can be wrong with an image.

use thiserror::Error;

/// An image that cannot be used.
#[derive(Debug, Error)]
pub enum ImageError {
    /// No format that is read.
    #[error("image: expected PNG, JPEG, WebP, BMP, GIF or TIFF, got {got}")]
    Format {
        /// What the bytes look like.
        got: String,
    },
    /// The format's decoder refused the bytes.
    #[error("image ({format}): expected a whole image, got: {reason}")]
    Decode {
        /// The format.
        format: String,
        /// What the decoder said.
        reason: String,
    },
    /// The image is larger than the limits.
    #[error("image: expected at most {limit}, got {width}x{height}")]
    TooLarge {
        /// The limit.
        limit: String,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The image has no pixel, or the bytes do not fit the size.
    #[error("image: expected {expected}, got {got}")]
    Size {
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
    },
    /// More images than the tile budget has tiles.
    #[error("images: expected at most {budget} (one tile each), got {images}")]
    TooManyImages {
        /// Tiles in the budget.
        budget: usize,
        /// Images given.
        images: usize,
    },
}
