//! What the answer points at: boxes with their phrases on the image (spec §12).

use super::Picture;
use super::canvas::Canvas;
use super::colour::Colour;
use super::text::{self, Weight};
use anyhow::{Result, ensure};

/// A phrase and the boxes it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The phrase; may be empty.
    pub phrase: String,
    /// Boxes as x1, y1, x2, y2 in pixels of the original image.
    pub boxes: Vec<[f32; 4]>,
}

/// Small images are shown at least this large, so that labels can be read.
const LEAST_SIDE: usize = 640;
/// Large images are shown at most this large.
const MOST_SIDE: usize = 2048;

/// The image with the boxes drawn on it, a colour a phrase.
///
/// # Errors
/// When the image has no pixels.
pub fn draw(image: &Picture, labels: &[Label]) -> Result<Canvas> {
    ensure!(image.width > 0 && image.height > 0, "boxes on an image: expected pixels, got none");
    let (width, height) = image.display_size(LEAST_SIDE, MOST_SIDE);
    let mut canvas = Canvas::new(width, height, Colour::WHITE)?;
    canvas.picture(&image.resized(width, height), 0, 0);
    let scale = [width as f32 / image.width as f32, height as f32 / image.height as f32];
    let line = (width.min(height) as f32 / 220.0).clamp(2.0, 6.0);
    let placed: Vec<_> = labels
        .iter()
        .enumerate()
        .flat_map(|(i, label)| {
            label.boxes.iter().map(move |b| (i, label, on_canvas(*b, scale, width, height)))
        })
        .collect();
    for &(i, _, b) in &placed {
        canvas.fill_rounded(b, line, Colour::nth(i), 0.10);
        canvas.outline(b, line * 1.5, line + 2.0, Colour::WHITE, 0.7);
        canvas.outline(b, line * 1.5, line, Colour::nth(i), 1.0);
    }
    // Labels last: no box may cross one. A label that would lie on another moves below it.
    let size = (width.min(height) as f32 / 32.0).clamp(13.0, 34.0);
    let mut taken: Vec<(f32, f32, f32, f32)> = Vec::new();
    for (i, label, b) in placed.into_iter().filter(|(_, label, _)| !label.phrase.trim().is_empty()) {
        // What cannot be written is counted instead.
        let phrase = label.phrase.trim();
        let phrase = if text::is_drawable(phrase) { phrase.to_owned() } else { format!("#{}", i + 1) };
        let place = label_place(&phrase, b, size, line, (width as f32, height as f32), &taken);
        let text = text::fitted(&phrase, size, Weight::Bold, place.2 - size * 0.7);
        canvas.fill_rounded(place, size * 0.22, Colour::nth(i), 0.95);
        let y = place.1 + (place.3 - text::height(size)) / 2.0;
        canvas.text(&text, place.0 + size * 0.35, y, size, Weight::Bold, Colour::WHITE);
        taken.push(place);
    }
    Ok(canvas)
}

/// A box in canvas pixels: x, y, width, height, in order, inside, and never without extent.
fn on_canvas(b: [f32; 4], scale: [f32; 2], width: usize, height: usize) -> (f32, f32, f32, f32) {
    let span = |a: f32, b: f32, scale: f32, side: usize| {
        let side = side as f32 - 1.0;
        let (a, b) = ((a * scale).clamp(0.0, side), (b * scale).clamp(0.0, side));
        (a.min(b), (a - b).abs().max(1.0))
    };
    let (x, w) = span(b[0], b[2], scale[0], width);
    let (y, h) = span(b[1], b[3], scale[1], height);
    (x, y, w, h)
}

/// Where a label goes: above its box, else inside at its top, else further down until it is free.
fn label_place(
    phrase: &str,
    (x, y, _, h): (f32, f32, f32, f32),
    size: f32,
    line: f32,
    (width, height): (f32, f32),
    taken: &[(f32, f32, f32, f32)],
) -> (f32, f32, f32, f32) {
    let w = (text::width(phrase, size, Weight::Bold) + size * 0.75).min(width);
    let tall = text::height(size) * 1.15;
    let x = (x - line / 2.0).clamp(0.0, width - w);
    let free =
        |y: f32| taken.iter().all(|t| x + w <= t.0 || t.0 + t.2 <= x || y + tall <= t.1 || t.1 + t.3 <= y);
    let above = y - tall - line * 0.5;
    let candidates = [above, y + line, y + h + line].into_iter().chain((0..40).map(|i| y + tall * i as f32));
    let place = candidates.filter(|&y| y >= 0.0 && y + tall <= height).find(|&y| free(y));
    (x, place.unwrap_or_else(|| above.clamp(0.0, (height - tall).max(0.0))), w, tall)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, height: usize) -> Picture {
        Picture { width, height, rgb: vec![90; width * height * 3] }
    }

    #[test]
    fn the_outline_lies_on_the_box() {
        let label = Label { phrase: String::new(), boxes: vec![[10.0, 20.0, 50.0, 80.0]] };
        let canvas = draw(&grey(100, 100), &[label]).unwrap();
        assert_eq!((canvas.width(), canvas.height()), (640, 640));
        assert_eq!(canvas.pixel(64, 320), Some(Colour::nth(0)), "left edge");
        assert_eq!(canvas.pixel(600, 600), Some(Colour(90, 90, 90)), "outside");
    }

    #[test]
    fn boxes_beyond_the_image_and_upside_down_are_drawn_inside() {
        let boxes = vec![[90.0, 90.0, 500.0, -20.0], [0.0; 4]];
        assert!(draw(&grey(33, 50), &[Label { phrase: "everything".into(), boxes }]).is_ok());
        assert!(draw(&grey(0, 5), &[]).is_err());
    }

    #[test]
    fn labels_of_equal_boxes_do_not_cover_each_other() {
        let first = label_place("one", (10.0, 50.0, 90.0, 90.0), 14.0, 2.0, (200.0, 200.0), &[]);
        let second = label_place("two", (10.0, 50.0, 90.0, 90.0), 14.0, 2.0, (200.0, 200.0), &[first]);
        assert!(second.1 >= first.1 + first.3 || first.1 >= second.1 + second.3);
    }
}
