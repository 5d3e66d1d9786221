//! Encoded bytes → 8-bit RGB (spec §3.1).

use super::ImageError;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, Rgb};
use std::io::Cursor;

/// An 8-bit RGB image, rows from the top, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl RgbImage {
    /// An image of `width` x `height` pixels, three bytes each.
    ///
    /// # Errors
    /// [`ImageError::Size`] if there is no pixel or the bytes do not fit.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, ImageError> {
        let bytes = (width as usize).checked_mul(height as usize).and_then(|n| n.checked_mul(3));
        if width == 0 || height == 0 || bytes != Some(pixels.len()) {
            return Err(ImageError::Size {
                expected: "at least one pixel and three bytes for each".to_owned(),
                got: format!("{width}x{height} and {} bytes", pixels.len()),
            });
        }
        Ok(RgbImage { width, height, pixels })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The pixels, row by row.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

/// How images are decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Turn the image as its EXIF orientation says. The official loader does not.
    pub apply_orientation: bool,
    /// Most pixels, checked before they are allocated.
    pub max_pixels: u64,
    /// Longest side in pixels.
    pub max_side: u32,
    /// Most bytes that a decoder may allocate.
    pub max_bytes: u64,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        DecodeOptions {
            apply_orientation: false,
            max_pixels: 100_000_000,
            max_side: 65_535,
            max_bytes: 1 << 30,
        }
    }
}

/// Decodes an image file: grey replicated, palette expanded, alpha dropped (not composited), 16-bit
/// samples cut to their high byte, the first frame of an animation.
///
/// # Errors
/// [`ImageError`]: an unknown format, corrupt or truncated data, or a size beyond the limits.
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage, ImageError> {
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| ImageError::Format { got: error.to_string() })?;
    let Some(format) = reader.format() else {
        return Err(ImageError::Format { got: describe(bytes) });
    };
    let fail = |error: image::ImageError| ImageError::Decode {
        format: format!("{format:?}"),
        reason: error.to_string(),
    };
    let mut limits = Limits::default();
    limits.max_image_width = Some(options.max_side);
    limits.max_image_height = Some(options.max_side);
    limits.max_alloc = Some(options.max_bytes);
    let mut reader = reader;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fail)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, options)?;
    let orientation = options.apply_orientation.then(|| decoder.orientation()).transpose().map_err(fail)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(fail)?;
    if let Some(orientation) = orientation {
        image.apply_orientation(orientation);
    }
    let (width, height) = (image.width(), image.height());
    RgbImage::new(width, height, to_rgb8(image))
}

fn check_size(width: u32, height: u32, options: &DecodeOptions) -> Result<(), ImageError> {
    let limit = if width.max(height) > options.max_side {
        format!("{} pixels a side", options.max_side)
    } else if u64::from(width) * u64::from(height) > options.max_pixels {
        format!("{} pixels", options.max_pixels)
    } else {
        return Ok(());
    };
    Err(ImageError::TooLarge { limit, width, height })
}

fn describe(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "0 bytes".to_owned();
    }
    let start: String = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("{} bytes starting 0x{start}", bytes.len())
}

/// Eight bits a channel: the high byte of wider samples, as the official loader's decoders do.
fn to_rgb8(image: DynamicImage) -> Vec<u8> {
    let high = |x: u16| (x >> 8) as u8;
    match image {
        DynamicImage::ImageRgb8(image) => image.into_raw(),
        DynamicImage::ImageLuma8(image) => image.pixels().flat_map(|p| [p.0[0]; 3]).collect(),
        DynamicImage::ImageLumaA8(image) => image.pixels().flat_map(|p| [p.0[0]; 3]).collect(),
        DynamicImage::ImageRgba8(image) => first_three(image.as_raw()).copied().collect(),
        DynamicImage::ImageLuma16(image) => image.pixels().flat_map(|p| [high(p.0[0]); 3]).collect(),
        DynamicImage::ImageLumaA16(image) => image.pixels().flat_map(|p| [high(p.0[0]); 3]).collect(),
        DynamicImage::ImageRgb16(image) => image.as_raw().iter().map(|&x| high(x)).collect(),
        DynamicImage::ImageRgba16(image) => first_three(image.as_raw()).map(|&x| high(x)).collect(),
        other => other.to_rgb32f().pixels().flat_map(float_pixel).collect(),
    }
}

fn first_three<T>(rgba: &[T]) -> impl Iterator<Item = &T> {
    rgba.as_chunks::<4>().0.iter().flat_map(|pixel| &pixel[..3])
}

fn float_pixel(pixel: &Rgb<f32>) -> [u8; 3] {
    pixel.0.map(|x| (x.clamp(0.0, 1.0) * 255.0).round() as u8)
}
