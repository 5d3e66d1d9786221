//! Antialiased bicubic resize of 8-bit RGB, bit for bit as Pillow 10.4 (spec §3).

use super::decode::RgbImage;

/// Bits of the fixed-point weights: 32 - 8 - 2.
const PRECISION: u32 = 22;

/// One output index's share of the input.
struct Taps {
    /// First input index.
    first: usize,
    /// Fixed-point weights of the input from there on.
    weights: Vec<i32>,
}

/// Resizes: horizontal pass, then vertical, each to u8; a pass is skipped where nothing changes.
///
/// `width` and `height` must not be 0.
pub fn resize(image: &RgbImage, width: usize, height: usize) -> Vec<u8> {
    let (from_width, from_height) = (image.width() as usize, image.height() as usize);
    let pixels = image.pixels();
    match (from_width == width, from_height == height) {
        (true, true) => pixels.to_vec(),
        (true, false) => vertical(pixels, width, from_height, height),
        (false, true) => horizontal(pixels, from_width, width),
        (false, false) => {
            let narrow = horizontal(pixels, from_width, width);
            vertical(&narrow, width, from_height, height)
        }
    }
}

fn horizontal(pixels: &[u8], from: usize, to: usize) -> Vec<u8> {
    let taps = taps(from, to);
    let mut out = Vec::with_capacity(pixels.len() / from * to);
    for row in pixels.chunks_exact(from * 3) {
        let row = row.as_chunks::<3>().0;
        for tap in &taps {
            let mut sum = [1i32 << (PRECISION - 1); 3];
            let window = &row[tap.first..tap.first + tap.weights.len()];
            for (pixel, &weight) in window.iter().zip(&tap.weights) {
                for channel in 0..3 {
                    sum[channel] += i32::from(pixel[channel]) * weight;
                }
            }
            out.extend(sum.map(to_u8));
        }
    }
    out
}

fn vertical(pixels: &[u8], width: usize, from: usize, to: usize) -> Vec<u8> {
    let row_bytes = width * 3;
    let mut out = Vec::with_capacity(row_bytes * to);
    let mut sums = vec![0i32; row_bytes];
    for tap in taps(from, to) {
        sums.fill(1 << (PRECISION - 1));
        let rows = pixels.chunks_exact(row_bytes).skip(tap.first);
        for (row, &weight) in rows.zip(&tap.weights) {
            for (sum, &pixel) in sums.iter_mut().zip(row) {
                *sum += i32::from(pixel) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| to_u8(sum)));
    }
    out
}

fn to_u8(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Weights of every output index of a pass from `from` to `to` samples.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let filter_scale = scale.max(1.0);
    let support = 2.0 * filter_scale;
    let inverse = 1.0 / filter_scale;
    (0..to)
        .map(|out| {
            let center = (out as f64 + 0.5) * scale;
            // `as usize` truncates and takes negative numbers to 0.
            let first = (center - support + 0.5) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            let weights: Vec<f64> =
                (first..end).map(|x| cubic((x as f64 - center + 0.5) * inverse)).collect();
            let total: f64 = weights.iter().sum();
            let fixed = |weight: f64| {
                let weight = if total == 0.0 { weight } else { weight / total };
                let half = if weight < 0.0 { -0.5 } else { 0.5 };
                (weight * f64::from(1u32 << PRECISION) + half) as i32
            };
            Taps { first, weights: weights.into_iter().map(fixed).collect() }
        })
        .collect()
}

/// The cubic kernel with a = -0.5.
fn cubic(t: f64) -> f64 {
    let t = t.abs();
    if t < 1.0 {
        (1.5 * t - 2.5) * t * t + 1.0
    } else if t < 2.0 {
        (((t - 5.0) * t + 8.0) * t - 4.0) * -0.5
    } else {
        0.0
    }
}
