//! Attention of the answer over an image: a row a layer, the tiles put back to the image's grid, the thumbnail beside it.

use super::Picture;
use super::canvas::Canvas;
use super::colour::Colour;
use super::text::{self, Weight};
use anyhow::{Result, ensure};

/// How an image became visual tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileGrid {
    /// Tiles across.
    pub columns: usize,
    /// Tiles down.
    pub rows: usize,
    /// Whether a thumbnail follows.
    pub thumbnail: bool,
    /// Visual tokens a side of a tile.
    pub side: usize,
}

impl TileGrid {
    /// Visual tokens of the image.
    pub fn tokens(&self) -> usize {
        (self.columns * self.rows + usize::from(self.thumbnail)) * self.side * self.side
    }

    /// Splits values in token order into the image's field (row by row over all tiles) and the thumbnail's.
    fn fields(&self, values: &[f32]) -> (Field, Option<Field>) {
        let (n, across) = (self.side, self.columns * self.side);
        let mut image = Field::new(across, self.rows * n);
        let tile_of = |tile: usize| values.get(tile * n * n..(tile + 1) * n * n).unwrap_or(&[]);
        for tile in 0..self.columns * self.rows {
            let (top, left) = (tile / self.columns * n, tile % self.columns * n);
            for (i, &v) in tile_of(tile).iter().enumerate() {
                image.values[(top + i / n) * across + left + i % n] = v;
            }
        }
        let thumbnail = self.thumbnail.then(|| {
            let mut field = Field::new(n, n);
            for (to, &from) in field.values.iter_mut().zip(tile_of(self.columns * self.rows)) {
                *to = from;
            }
            field
        });
        (image, thumbnail)
    }
}

/// A grid of values laid over the whole image.
#[derive(Clone, Debug, PartialEq)]
struct Field {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Field {
    fn new(width: usize, height: usize) -> Self {
        Self { width, height, values: vec![0.0; width * height] }
    }

    fn get(&self, x: usize, y: usize) -> f32 {
        self.values[y.min(self.height - 1) * self.width + x.min(self.width - 1)]
    }

    /// The value at (u, v) in 0..1, between the centres of the cells.
    fn sample(&self, u: f32, v: f32) -> f32 {
        let x = (u * self.width as f32 - 0.5).max(0.0);
        let y = (v * self.height as f32 - 0.5).max(0.0);
        // Eased, so that few large cells show no creases.
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (x0, y0, fx, fy) = (x as usize, y as usize, ease(x.fract()), ease(y.fract()));
        let row = |y| self.get(x0, y) * (1.0 - fx) + self.get(x0 + 1, y) * fx;
        row(y0) * (1.0 - fy) + row(y0 + 1) * fy
    }

    /// Values scaled so that 0 is the quiet end and 1 the 99.5th percentile: single extremes do not darken the rest.
    fn normalised(mut self) -> Self {
        let mut sorted: Vec<f32> = self.values.iter().copied().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f32::total_cmp);
        let at = |q: f32| sorted.get(((sorted.len().saturating_sub(1)) as f32 * q) as usize).copied();
        let (low, high) = (at(0.02).unwrap_or(0.0), at(0.995).unwrap_or(1.0));
        let range = if high > low { high - low } else { f32::INFINITY };
        for v in &mut self.values {
            *v = if v.is_finite() { ((*v - low) / range).clamp(0.0, 1.0) } else { 0.0 };
        }
        self
    }
}

/// Attention over one image in one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Number of the layer, from 1.
    pub number: usize,
    /// A value for each visual token of the image, in token order.
    pub values: Vec<f32>,
}

/// One image and what looked at it.
#[derive(Clone, Debug)]
pub struct Section {
    /// Over the panels, such as the file name.
    pub title: String,
    /// The image.
    pub image: Picture,
    /// How it was tiled.
    pub grid: TileGrid,
    /// Layers from top to bottom.
    pub layers: Vec<Layer>,
}

const MARGIN: usize = 28;
const GAP: usize = 14;
const PANEL: usize = 380;
const LABELS: usize = 118;
const HEAD: usize = 30;
/// Least height of a layer's row: its label has four lines, and a wide image is lower.
const ROW: usize = 84;
/// Lifts the middle of the scale.
const GAMMA: f32 = 0.75;

/// The picture of all sections; `title` and `subtitle` are the question and the answer.
///
/// # Errors
/// When there is nothing to draw, values do not fit a grid, or the picture gets too large.
pub fn draw(title: &str, subtitle: &str, sections: &[Section]) -> Result<Canvas> {
    ensure!(!sections.is_empty(), "attention over an image: expected an image, got none");
    for s in sections {
        for layer in &s.layers {
            ensure!(
                layer.values.len() == s.grid.tokens() && s.grid.tokens() > 0,
                "attention over {}: expected {} values, got {}",
                s.title,
                s.grid.tokens(),
                layer.values.len()
            );
        }
    }
    let sizes: Vec<_> = sections.iter().map(|s| s.image.display_size(PANEL, PANEL)).collect();
    let columns = |s: &Section| 2 + usize::from(s.grid.thumbnail);
    let row = |w: usize, s: &Section| LABELS + columns(s) * (w + GAP);
    let wide = sections.iter().zip(&sizes).map(|(s, &(w, _))| row(w, s)).max().unwrap_or(0);
    let tall: usize = sections
        .iter()
        .zip(&sizes)
        .map(|(s, &(_, h))| HEAD + s.layers.len() * (h.max(ROW) + GAP) + GAP)
        .sum();
    let top = MARGIN + 62;
    let width = (wide + 2 * MARGIN).max(640);
    let mut canvas = Canvas::new(width, top + tall + 54, Colour::WHITE)?;
    let room = (width - 2 * MARGIN) as f32;
    let line = |text: &str, size, weight| text::fitted(&text.replace('\n', " "), size, weight, room);
    let (title, subtitle) = (line(title, 21.0, Weight::Bold), line(subtitle, 16.0, Weight::Regular));
    canvas.text(&title, MARGIN as f32, MARGIN as f32 - 6.0, 21.0, Weight::Bold, Colour::INK);
    canvas.text(&subtitle, MARGIN as f32, MARGIN as f32 + 24.0, 16.0, Weight::Regular, Colour::GREY);
    let mut y = top;
    for (section, &size) in sections.iter().zip(&sizes) {
        y = draw_section(&mut canvas, section, size, y);
    }
    draw_scale(&mut canvas, y);
    Ok(canvas)
}

/// One image's rows; gives where the next section begins.
fn draw_section(canvas: &mut Canvas, s: &Section, (w, h): (usize, usize), mut y: usize) -> usize {
    let shown = s.image.resized(w, h);
    let left = MARGIN + LABELS;
    let column = |i: usize| left + i * (w + GAP);
    let heads = [
        s.title.clone(),
        format!(
            "{} × {} tiles, {} × {} tokens",
            s.grid.columns,
            s.grid.rows,
            s.grid.columns * s.grid.side,
            s.grid.rows * s.grid.side
        ),
        format!("thumbnail, {} × {} tokens", s.grid.side, s.grid.side),
    ];
    for (i, head) in heads.iter().enumerate().take(2 + usize::from(s.grid.thumbnail)) {
        let head = text::fitted(head, 14.0, Weight::Regular, w as f32);
        canvas.text(&head, column(i) as f32, y as f32 + 6.0, 14.0, Weight::Regular, Colour::GREY);
    }
    y += HEAD;
    for layer in &s.layers {
        canvas.text(
            &format!("Layer {}", layer.number),
            MARGIN as f32,
            y as f32 + 4.0,
            19.0,
            Weight::Bold,
            Colour::INK,
        );
        let share = layer.values.iter().filter(|v| v.is_finite()).sum::<f32>() * 100.0;
        let note = [format!("{share:.1} % of the"), "answer's attention".into(), "is on this image".into()];
        for (i, note) in note.iter().enumerate() {
            let at = y as f32 + 32.0 + i as f32 * 16.0;
            canvas.text(note, MARGIN as f32, at, 12.5, Weight::Regular, Colour::GREY);
        }
        canvas.picture(&shown, column(0), y);
        let (image, thumbnail) = s.grid.fields(&layer.values);
        overlay(canvas, &shown, &image.normalised(), column(1), y);
        grid_lines(canvas, (column(1), y, w, h), s.grid);
        if let Some(thumbnail) = thumbnail {
            overlay(canvas, &shown, &thumbnail.normalised(), column(2), y);
        }
        y += h.max(ROW) + GAP;
    }
    y + GAP
}

/// The image, grey and dark, with the field glowing on it.
fn overlay(canvas: &mut Canvas, shown: &Picture, field: &Field, x: usize, y: usize) {
    for row in 0..shown.height {
        for column in 0..shown.width {
            let [r, g, b] = shown.at(column, row);
            let luma = (0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)) / 255.0;
            let u = (column as f32 + 0.5) / shown.width as f32;
            let v = (row as f32 + 0.5) / shown.height as f32;
            let t = field.sample(u, v).powf(GAMMA);
            let grey = (luma * 190.0) as u8;
            let glow = Colour::heat(0.12 + 0.84 * t);
            let colour = Colour(grey, grey, grey).mix(glow, 0.42 + 0.48 * t);
            canvas.blend((x + column) as i32, (y + row) as i32, colour, 1.0);
        }
    }
}

/// Thin lines between the tiles.
fn grid_lines(canvas: &mut Canvas, (x, y, w, h): (usize, usize, usize, usize), grid: TileGrid) {
    for i in 1..grid.columns {
        let at = (x + i * w / grid.columns) as f32;
        canvas.fill(at, y as f32, 1.0, h as f32, Colour::WHITE, 0.28);
    }
    for i in 1..grid.rows {
        let at = (y + i * h / grid.rows) as f32;
        canvas.fill(x as f32, at, w as f32, 1.0, Colour::WHITE, 0.28);
    }
}

/// The colour scale at the foot.
fn draw_scale(canvas: &mut Canvas, y: usize) {
    let (x, width) = (MARGIN + LABELS, 220);
    for i in 0..width {
        let t = i as f32 / width as f32;
        canvas.fill((x + i) as f32, y as f32, 1.0, 12.0, Colour::heat(0.12 + 0.84 * t.powf(GAMMA)), 1.0);
    }
    let note = "least → most attended, each panel by itself (mean over heads and answer tokens)";
    canvas.text(note, (x + width + 12) as f32, y as f32 - 2.0, 13.0, Weight::Regular, Colour::GREY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_put_back_in_their_places() {
        let grid = TileGrid { columns: 2, rows: 1, thumbnail: true, side: 2 };
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let (image, thumbnail) = grid.fields(&values);
        assert_eq!(image.values, [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        assert_eq!(thumbnail.unwrap().values, [8.0, 9.0, 10.0, 11.0]);
    }

    #[test]
    fn a_field_is_scaled_to_its_own_range() {
        let mut field = Field::new(200, 1);
        field.values = (0..200).map(|i| i as f32).collect();
        let n = field.normalised();
        assert_eq!((n.values[0], n.values[199]), (0.0, 1.0));
        let flat = Field { width: 2, height: 1, values: vec![0.5, f32::NAN] }.normalised();
        assert_eq!(flat.values, [0.0, 0.0]);
    }

    #[test]
    fn values_that_do_not_fit_the_grid_are_refused() {
        let image = Picture { width: 8, height: 8, rgb: vec![9; 192] };
        let grid = TileGrid { columns: 1, rows: 1, thumbnail: false, side: 2 };
        let section = |n| Section {
            title: "x.png".into(),
            image: image.clone(),
            grid,
            layers: vec![Layer { number: 1, values: vec![0.1; n] }],
        };
        assert!(draw("q", "a", &[section(4)]).is_ok());
        let error = draw("q", "a", &[section(5)]).unwrap_err().to_string();
        assert!(error.contains("expected 4 values, got 5"), "{error}");
    }
}
