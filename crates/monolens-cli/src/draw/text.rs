//! Text on a canvas, in DejaVu Sans.

use ab_glyph::{Font, FontRef, Glyph, GlyphId, PxScale, ScaleFont, point};
use std::sync::OnceLock;

/// Which cut of the font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Plain.
    Regular,
    /// Strong.
    Bold,
}

/// The font; none only if the bundled file were broken, and then no text is drawn.
fn font(weight: Weight) -> Option<&'static FontRef<'static>> {
    static REGULAR: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    static BOLD: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    let (cell, bytes): (_, fn() -> &'static [u8]) = match weight {
        Weight::Regular => (&REGULAR, dejavu::sans::regular),
        Weight::Bold => (&BOLD, dejavu::sans::bold),
    };
    cell.get_or_init(|| FontRef::try_from_slice(bytes()).ok()).as_ref()
}

/// The glyphs of one line with its left top at (0, 0), and its width.
fn layout(text: &str, size: f32, weight: Weight) -> (Vec<Glyph>, f32) {
    let Some(font) = font(weight) else { return (Vec::new(), 0.0) };
    let scaled = font.as_scaled(PxScale::from(size));
    let (mut x, mut glyphs, mut last) = (0.0, Vec::new(), None::<GlyphId>);
    for c in text.chars().filter(|c| !c.is_control()) {
        let id = font.glyph_id(c);
        if let Some(last) = last {
            x += scaled.kern(last, id);
        }
        glyphs.push(id.with_scale_and_position(scaled.scale(), point(x, scaled.ascent())));
        x += scaled.h_advance(id);
        last = Some(id);
    }
    (glyphs, x)
}

/// Whether the font has all characters of a line (it has no Chinese, for one).
pub fn is_drawable(text: &str) -> bool {
    let known = |c: char| {
        c.is_whitespace() || c.is_control() || font(Weight::Bold).is_some_and(|f| f.glyph_id(c).0 != 0)
    };
    text.chars().all(known)
}

/// Width of a line in pixels.
pub fn width(text: &str, size: f32, weight: Weight) -> f32 {
    layout(text, size, weight).1
}

/// Height of a line in pixels.
pub fn height(size: f32) -> f32 {
    font(Weight::Regular).map_or(size, |f| f.as_scaled(PxScale::from(size)).height())
}

/// `text`, shortened to fit `room` pixels.
pub fn fitted(text: &str, size: f32, weight: Weight, room: f32) -> String {
    if width(text, size, weight) <= room {
        return text.to_owned();
    }
    let mut kept: String = text.to_owned();
    while kept.pop().is_some() {
        let shortened = format!("{}…", kept.trim_end());
        if width(&shortened, size, weight) <= room {
            return shortened;
        }
    }
    String::new()
}

/// Calls `put(x, y, coverage)` for every pixel that the line touches, its left top at (0, 0).
pub fn draw(text: &str, size: f32, weight: Weight, mut put: impl FnMut(i32, i32, f32)) {
    let Some(font) = font(weight) else { return };
    for glyph in layout(text, size, weight).0 {
        if let Some(outline) = font.outline_glyph(glyph) {
            let bounds = outline.px_bounds();
            outline.draw(|x, y, c| put(bounds.min.x as i32 + x as i32, bounds.min.y as i32 + y as i32, c));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_shortened_to_its_room() {
        let long = "a sentence that goes on for very much longer than there is room";
        let short = fitted(long, 14.0, Weight::Regular, 120.0);
        assert!(short.ends_with('…') && width(&short, 14.0, Weight::Regular) <= 120.0);
        assert_eq!(fitted("ab", 14.0, Weight::Bold, 120.0), "ab");
        assert_eq!(fitted("ab", 14.0, Weight::Bold, 0.0), "");
    }

    #[test]
    fn characters_without_a_glyph_are_known() {
        assert!(is_drawable("The größte Катя, 5 × 3 …"));
        assert!(!is_drawable("一只猫"));
    }

    #[test]
    fn drawing_covers_pixels() {
        let mut covered = 0;
        draw("Tile 1", 20.0, Weight::Regular, |_, _, c| covered += usize::from(c > 0.5));
        assert!(covered > 50);
    }
}
