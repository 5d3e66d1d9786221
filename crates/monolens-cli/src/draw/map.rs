//! Attention from every token to every token, layer by layer, with axes cut into system text, image, user text and
//! answer, as in the papers (spec §12).

use super::canvas::Canvas;
use super::colour::Colour;
use super::text::{self, Weight};
use anyhow::{Result, ensure};

/// A stretch of tokens of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its name on the axes.
    pub name: String,
    /// Its colour on the axes.
    pub colour: Colour,
    /// Number of tokens.
    pub tokens: usize,
}

/// Attention of one layer, reduced to the pixels of its panel.
#[derive(Clone, Debug)]
pub struct Layer {
    number: usize,
    /// Tokens.
    n: usize,
    /// PANEL×PANEL; none where no query of a pixel may see a key of it.
    pixels: Vec<Option<f32>>,
}

impl Layer {
    /// Of attention probabilities N×N, a row a query, averaged over heads; `number` counts from 1. Where a pixel covers
    /// several entries it shows the largest, so that single strong links stay visible.
    ///
    /// # Errors
    /// When there are not N×N values.
    pub fn new(number: usize, n: usize, probabilities: &[f32]) -> Result<Self> {
        let got = probabilities.len();
        ensure!(
            n > 0 && Some(got) == n.checked_mul(n),
            "the attention map of layer {number}: expected {n}×{n} values, got {got}"
        );
        let range = |pixel: usize| {
            let from = pixel * n / PANEL;
            from..((pixel + 1) * n).div_ceil(PANEL).clamp(from + 1, n.max(from + 1))
        };
        let mut pixels = vec![None::<f32>; PANEL * PANEL];
        for row in 0..PANEL {
            for query in range(row) {
                for column in 0..PANEL {
                    let keys = range(column);
                    // Keys after the query are not attended to.
                    let end = keys.end.min(query + 1).max(keys.start);
                    let seen = probabilities.get(query * n + keys.start..query * n + end);
                    let most = &mut pixels[row * PANEL + column];
                    for &v in seen.unwrap_or(&[]) {
                        *most = Some(most.map_or(v, |m| m.max(v)));
                    }
                }
            }
        }
        Ok(Self { number, n, pixels })
    }
}

const MARGIN: usize = 28;
const PANEL: usize = 460;
const AXIS: usize = 34;
const HEAD: usize = 34;
const GAP: usize = 30;
/// Probabilities are shown from here..
const LOW: f32 = -5.0;
/// ..to here, as powers of ten.
const HIGH: f32 = 0.0;

/// The picture of all layers, two in a row.
///
/// # Errors
/// When there is no layer, sizes do not fit, or the picture gets too large.
pub fn draw(title: &str, segments: &[Segment], layers: &[Layer]) -> Result<Canvas> {
    let n: usize = segments.iter().map(|s| s.tokens).sum();
    ensure!(!layers.is_empty() && n > 0, "an attention map: expected layers and tokens, got none");
    for layer in layers {
        ensure!(
            layer.n == n,
            "the attention map of layer {}: expected {n} tokens, got {}",
            layer.number,
            layer.n
        );
    }
    let columns = layers.len().min(2);
    let cell = (AXIS + PANEL + GAP, HEAD + AXIS + PANEL + GAP);
    let top = MARGIN + 40;
    let width = 2 * MARGIN + columns * cell.0;
    let mut canvas = Canvas::new(width, top + layers.len().div_ceil(2) * cell.1 + 62, Colour::WHITE)?;
    let title = text::fitted(&title.replace('\n', " "), 20.0, Weight::Bold, (width - 2 * MARGIN) as f32);
    canvas.text(&title, MARGIN as f32, MARGIN as f32 - 6.0, 20.0, Weight::Bold, Colour::INK);
    for (i, layer) in layers.iter().enumerate() {
        let x = MARGIN + i % 2 * cell.0;
        let y = top + i / 2 * cell.1;
        canvas.text(
            &format!("Layer {}", layer.number),
            (x + AXIS) as f32,
            y as f32,
            18.0,
            Weight::Bold,
            Colour::INK,
        );
        draw_axes(&mut canvas, segments, n, (x, y + HEAD));
        draw_matrix(&mut canvas, layer, (x + AXIS, y + HEAD + AXIS));
        draw_borders(&mut canvas, segments, n, (x + AXIS, y + HEAD + AXIS));
    }
    draw_legend(&mut canvas, segments, top + layers.len().div_ceil(2) * cell.1 + 4);
    Ok(canvas)
}

/// From, to of each segment in panel pixels.
fn spans(segments: &[Segment], n: usize) -> impl Iterator<Item = (&Segment, f32, f32)> {
    let at = move |tokens: usize| tokens as f32 / n as f32 * PANEL as f32;
    segments.iter().scan(0, move |from, s| {
        let start = *from;
        *from += s.tokens;
        Some((s, at(start), at(*from)))
    })
}

/// Bars along the top (keys) and the left (queries).
fn draw_axes(canvas: &mut Canvas, segments: &[Segment], n: usize, (x, y): (usize, usize)) {
    let (left, top) = ((x + AXIS) as f32, (y + AXIS) as f32);
    for (s, from, to) in spans(segments, n) {
        let long = (to - from - 1.0).max(0.5);
        canvas.fill(left + from, top - 12.0, long, 8.0, s.colour, 1.0);
        canvas.fill(left - 12.0, top + from, 8.0, long, s.colour, 1.0);
        let name = &s.name;
        let wide = text::width(name, 12.0, Weight::Regular);
        if wide + 4.0 < long {
            let at = from + (long - wide) / 2.0;
            canvas.text(name, left + at, top - 29.0, 12.0, Weight::Regular, s.colour);
            let bottom = top + from + (long + wide) / 2.0;
            canvas.text_upwards(name, left - 29.0, bottom, 12.0, Weight::Regular, s.colour);
        }
    }
}

/// 0 for a probability of 10^LOW and less, 1 for certainty.
fn level(p: f32) -> f32 {
    ((p.max(1e-30).log10() - LOW) / (HIGH - LOW)).clamp(0.0, 1.0)
}

fn draw_matrix(canvas: &mut Canvas, layer: &Layer, (x, y): (usize, usize)) {
    for (i, value) in layer.pixels.iter().enumerate() {
        let colour = value.map_or(Colour::NOTHING, |v| Colour::heat(level(v)));
        canvas.blend((x + i % PANEL) as i32, (y + i / PANEL) as i32, colour, 1.0);
    }
}

/// Thin lines where segments meet.
fn draw_borders(canvas: &mut Canvas, segments: &[Segment], n: usize, (x, y): (usize, usize)) {
    for (_, _, to) in spans(segments, n).filter(|&(_, _, to)| to > 0.0 && to < PANEL as f32) {
        canvas.fill(x as f32, y as f32 + to - 0.5, PANEL as f32, 1.0, Colour::WHITE, 0.55);
        canvas.fill(x as f32 + to - 0.5, y as f32, 1.0, PANEL as f32, Colour::WHITE, 0.55);
    }
}

/// What the colours mean.
fn draw_legend(canvas: &mut Canvas, segments: &[Segment], y: usize) {
    let (mut x, y) = ((MARGIN + AXIS) as f32, y as f32);
    let mut named: Vec<(Colour, &str, usize)> = Vec::new();
    for s in segments {
        match named.iter_mut().find(|(c, ..)| *c == s.colour) {
            Some((.., tokens)) => *tokens += s.tokens,
            None => named.push((s.colour, &s.name, s.tokens)),
        }
    }
    for (colour, name, tokens) in named {
        canvas.fill_rounded((x, y + 3.0, 11.0, 11.0), 2.0, colour, 1.0);
        let label = format!("{name} ({tokens})");
        canvas.text(&label, x + 16.0, y, 13.0, Weight::Regular, Colour::INK);
        x += text::width(&label, 13.0, Weight::Regular) + 36.0;
    }
    let (x, y) = ((MARGIN + AXIS) as f32, y + 26.0);
    for i in 0..200 {
        canvas.fill(x + i as f32, y + 2.0, 1.0, 11.0, Colour::heat(i as f32 / 199.0), 1.0);
    }
    let note = "10⁻⁵ … 1; rows ask, columns are attended to; mean over heads";
    canvas.text(note, x + 212.0, y, 13.0, Weight::Regular, Colour::GREY);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(name: &str, colour: Colour, tokens: usize) -> Segment {
        Segment { name: name.into(), colour, tokens }
    }

    #[test]
    fn a_map_of_any_size_is_drawn() {
        for n in [1, 7, PANEL, 700] {
            let segments =
                [segment("system", Colour::SYSTEM, n / 2), segment("image", Colour::IMAGE, n - n / 2)];
            let mut p = vec![0.0; n * n];
            for q in 0..n {
                for k in 0..=q {
                    p[q * n + k] = 1.0 / (q + 1) as f32;
                }
            }
            let canvas = draw("q", &segments, &[Layer::new(1, n, &p).unwrap()]).unwrap();
            let (x, y) = (MARGIN + AXIS, MARGIN + 40 + HEAD + AXIS);
            if n > 1 {
                assert_eq!(
                    canvas.pixel(x + PANEL - 1, y),
                    Some(Colour::NOTHING),
                    "the future is empty, n={n}"
                );
            }
            assert_eq!(
                canvas.pixel(x, y),
                Some(Colour::heat(1.0)),
                "the first token attends to itself, n={n}"
            );
        }
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let error = Layer::new(3, 3, &[0.0; 8]).unwrap_err().to_string();
        assert!(error.contains("layer 3: expected 3×3 values, got 8"), "{error}");
        let layer = Layer::new(1, 2, &[0.0; 4]).unwrap();
        assert!(draw("q", &[segment("a", Colour::USER, 3)], &[layer]).is_err());
        assert!(draw("q", &[], &[]).is_err());
    }
}
