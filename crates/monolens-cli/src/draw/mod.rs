//! Pictures: grounding boxes, attention over the image, attention from token to token.

pub mod boxes;
mod canvas;
mod colour;
pub mod heat;
pub mod map;
pub mod text;

pub use canvas::Canvas;
pub use colour::Colour;

use anyhow::{Context, Result};
use std::path::Path;

/// An 8-bit RGB image, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// width × height × 3 bytes.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// The pixel at (x, y), clamped to the border.
    pub fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let (x, y) = (x.min(self.width.saturating_sub(1)), y.min(self.height.saturating_sub(1)));
        let i = (y * self.width + x) * 3;
        match self.rgb.get(i..i + 3) {
            Some(p) => [p[0], p[1], p[2]],
            None => [0; 3],
        }
    }

    /// Resized for showing: smooth when it grows, averaged when it shrinks.
    pub fn resized(&self, width: usize, height: usize) -> Self {
        let buffer = image::RgbImage::from_raw(self.width as u32, self.height as u32, self.rgb.clone());
        let Some(buffer) = buffer else { return self.clone() };
        let filter = image::imageops::FilterType::CatmullRom;
        let out = image::imageops::resize(&buffer, width.max(1) as u32, height.max(1) as u32, filter);
        Self { width: out.width() as usize, height: out.height() as usize, rgb: out.into_raw() }
    }

    /// The size at which it is shown: at least `least` and at most `most` pixels on its longer side.
    pub fn display_size(&self, least: usize, most: usize) -> (usize, usize) {
        let longer = self.width.max(self.height).max(1);
        let target = longer.clamp(least, most);
        let scale = |side: usize| (side * target).div_ceil(longer).max(1);
        (scale(self.width), scale(self.height))
    }
}

/// Writes a canvas as PNG.
///
/// # Errors
/// When the file cannot be written.
pub fn save(canvas: &Canvas, path: &Path) -> Result<()> {
    canvas.save(path).with_context(|| format!("cannot write the picture {}", path.display()))
}
