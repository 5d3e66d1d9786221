//! A surface to draw on: rectangles, pictures and text.

use super::Picture;
use super::colour::Colour;
use super::text::{self, Weight};
use anyhow::{Context, Result};
use std::path::Path;
use tiny_skia::{FillRule, Paint, Path as Outline, PathBuilder, Pixmap, Rect, Stroke, Transform};

/// Longest side of a picture that is drawn, in pixels.
const MAX_SIDE: usize = 16_384;

/// An RGB surface.
#[derive(Clone, Debug)]
pub struct Canvas {
    pixels: Pixmap,
}

fn paint(colour: Colour, alpha: f32) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(colour.0, colour.1, colour.2, (alpha.clamp(0.0, 1.0) * 255.0).round() as u8);
    paint.anti_alias = true;
    paint
}

fn rounded(x: f32, y: f32, w: f32, h: f32, radius: f32) -> Option<Outline> {
    let r = radius.min(w / 2.0).min(h / 2.0);
    let mut path = PathBuilder::new();
    path.move_to(x + r, y);
    path.line_to(x + w - r, y);
    path.quad_to(x + w, y, x + w, y + r);
    path.line_to(x + w, y + h - r);
    path.quad_to(x + w, y + h, x + w - r, y + h);
    path.line_to(x + r, y + h);
    path.quad_to(x, y + h, x, y + h - r);
    path.line_to(x, y + r);
    path.quad_to(x, y, x + r, y);
    path.close();
    path.finish()
}

impl Canvas {
    /// A surface of one colour.
    ///
    /// # Errors
    /// When it would be larger than a picture may be.
    pub fn new(width: usize, height: usize, colour: Colour) -> Result<Self> {
        let fits = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
        let pixels = fits.then(|| Pixmap::new(width as u32, height as u32)).flatten();
        let mut pixels = pixels.with_context(|| {
            format!("a picture of {width}x{height}: expected 1 to {MAX_SIDE} pixels a side")
        })?;
        pixels.fill(tiny_skia::Color::from_rgba8(colour.0, colour.1, colour.2, 255));
        Ok(Self { pixels })
    }

    /// Pixels across.
    pub fn width(&self) -> usize {
        self.pixels.width() as usize
    }

    /// Pixels down.
    pub fn height(&self) -> usize {
        self.pixels.height() as usize
    }

    /// The colour at (x, y), if that is on the surface.
    pub fn pixel(&self, x: usize, y: usize) -> Option<Colour> {
        let p = self.pixels.pixel(x as u32, y as u32)?.demultiply();
        Some(Colour(p.red(), p.green(), p.blue()))
    }

    /// Mixes `share` of a colour into a pixel; outside the surface nothing happens.
    pub fn blend(&mut self, x: i32, y: i32, colour: Colour, share: f32) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        let (width, height) = (self.pixels.width(), self.pixels.height());
        if x >= width || y >= height {
            return;
        }
        // The surface is opaque, so premultiplied bytes are plain ones.
        let i = (y as usize * width as usize + x as usize) * 4;
        if let Some(p) = self.pixels.data_mut().get_mut(i..i + 3) {
            let mixed = Colour(p[0], p[1], p[2]).mix(colour, share.clamp(0.0, 1.0));
            p.copy_from_slice(&[mixed.0, mixed.1, mixed.2]);
        }
    }

    /// Puts a picture with its left top at (x, y).
    pub fn picture(&mut self, picture: &Picture, x: usize, y: usize) {
        for row in 0..picture.height {
            for column in 0..picture.width {
                let p = picture.at(column, row);
                self.blend((x + column) as i32, (y + row) as i32, Colour(p[0], p[1], p[2]), 1.0);
            }
        }
    }

    /// A filled rectangle.
    pub fn fill(&mut self, x: f32, y: f32, w: f32, h: f32, colour: Colour, alpha: f32) {
        if let Some(rect) = Rect::from_xywh(x, y, w, h) {
            self.pixels.fill_rect(rect, &paint(colour, alpha), Transform::identity(), None);
        }
    }

    /// A filled rectangle with round corners.
    pub fn fill_rounded(
        &mut self,
        (x, y, w, h): (f32, f32, f32, f32),
        radius: f32,
        colour: Colour,
        alpha: f32,
    ) {
        if let Some(path) = rounded(x, y, w, h, radius) {
            let rule = FillRule::Winding;
            self.pixels.fill_path(&path, &paint(colour, alpha), rule, Transform::identity(), None);
        }
    }

    /// The outline of a rectangle; the line lies around its edge.
    pub fn outline(
        &mut self,
        (x, y, w, h): (f32, f32, f32, f32),
        radius: f32,
        line: f32,
        colour: Colour,
        alpha: f32,
    ) {
        if let Some(path) = rounded(x, y, w, h, radius) {
            let stroke = Stroke { width: line, ..Stroke::default() };
            self.pixels.stroke_path(&path, &paint(colour, alpha), &stroke, Transform::identity(), None);
        }
    }

    /// A line of text with its left top at (x, y).
    pub fn text(&mut self, line: &str, x: f32, y: f32, size: f32, weight: Weight, colour: Colour) {
        let (x, y) = (x.round() as i32, y.round() as i32);
        text::draw(line, size, weight, |dx, dy, c| self.blend(x + dx, y + dy, colour, c));
    }

    /// A line of text from bottom to top, its left bottom at (x, y).
    pub fn text_upwards(&mut self, line: &str, x: f32, y: f32, size: f32, weight: Weight, colour: Colour) {
        let (x, y) = (x.round() as i32, y.round() as i32);
        text::draw(line, size, weight, |dx, dy, c| self.blend(x + dy, y - dx, colour, c));
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let rgb: Vec<u8> = self.pixels.data().chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        let image = image::RgbImage::from_raw(self.pixels.width(), self.pixels.height(), rgb);
        let image = image.context("the surface has a size that is not its pixels'")?;
        image.save_with_format(path, image::ImageFormat::Png)?;
        Ok(())
    }
}
