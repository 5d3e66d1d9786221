//! Rotary positions: cosines and sines of each row, made on the host in f32 (spec §6).

use crate::config::{DecoderConfig, RopeScaling};

/// Makes the rows of the decoder's [`ROPE`](monolens_graph::batch::ROPE) input.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    head_size: usize,
    theta: f64,
    scaling: RopeScaling,
    max_position_embeddings: usize,
}

impl Rope {
    /// For a decoder.
    pub fn new(config: &DecoderConfig) -> Self {
        Rope {
            head_size: config.head_size(),
            theta: config.rope_theta,
            scaling: config.rope_scaling,
            max_position_embeddings: config.max_position_embeddings,
        }
    }

    /// Floats of a row: the head size, d.
    pub fn row_width(&self) -> usize {
        self.head_size
    }

    /// Rotations of the positions `start..start + count`, f32 [count, d]: d/2 cosines, then d/2 sines.
    ///
    /// `total` is the length of the forward call, cached and new tokens together. It matters for
    /// dynamic scaling only: give the whole prompt's length for every chunk of a prefill, and the
    /// length with the new token for a decode step.
    pub fn rows(&self, start: usize, count: usize, total: usize) -> Vec<f32> {
        let frequencies = self.frequencies(total);
        let mut out = Vec::with_capacity(count * self.head_size);
        for position in start..start + count {
            let position = match self.scaling {
                RopeScaling::Linear { factor } => position as f32 / factor as f32,
                _ => position as f32,
            };
            // The angle is rounded to f32 as in the reference; its cosine is then exact to f32.
            let angles = frequencies.iter().map(|f| f64::from(position * f));
            out.extend(angles.clone().map(|angle| angle.cos() as f32));
            out.extend(angles.map(|angle| angle.sin() as f32));
        }
        out
    }

    /// Whether rows depend on the length of the call beyond this many tokens.
    pub fn stretches_beyond(&self) -> Option<usize> {
        let dynamic = matches!(self.scaling, RopeScaling::Dynamic { .. });
        dynamic.then_some(self.max_position_embeddings)
    }

    /// θ^(−2e/d) for e in 0..d/2, in f32.
    fn frequencies(&self, total: usize) -> Vec<f32> {
        let base = f64::from(self.base(total) as f32);
        let d = self.head_size as f32;
        (0..self.head_size / 2)
            .map(|e| {
                let exponent = (2 * e) as f32 / d;
                1.0 / base.powf(f64::from(exponent)) as f32
            })
            .collect()
    }

    fn base(&self, total: usize) -> f64 {
        match self.scaling {
            RopeScaling::Dynamic { factor } if total > self.max_position_embeddings => {
                let d = self.head_size as f64;
                let stretch = factor * total as f64 / self.max_position_embeddings as f64;
                self.theta * (stretch - (factor - 1.0)).powf(d / (d - 2.0))
            }
            _ => self.theta,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(scaling: RopeScaling) -> Rope {
        Rope { head_size: 4, theta: 10_000.0, scaling, max_position_embeddings: 8 }
    }

    #[test]
    fn rows_hold_cosines_then_sines() {
        let rows = rope(RopeScaling::None).rows(3, 2, 5);
        let expected = |position: f32| {
            let slow = position * 0.01;
            [position.cos(), slow.cos(), position.sin(), slow.sin()]
        };
        let expected: Vec<f32> = [3.0, 4.0].into_iter().flat_map(expected).collect();
        let close = rows.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close, "{rows:?} {expected:?}");
    }

    #[test]
    fn linear_scaling_divides_positions() {
        let scaled = rope(RopeScaling::Linear { factor: 2.0 }).rows(6, 1, 7);
        assert_eq!(scaled, rope(RopeScaling::None).rows(3, 1, 4));
    }

    #[test]
    fn dynamic_scaling_acts_beyond_the_trained_length_only() {
        let dynamic = rope(RopeScaling::Dynamic { factor: 2.0 });
        let plain = rope(RopeScaling::None);
        assert_eq!(dynamic.rows(0, 8, 8), plain.rows(0, 8, 8));
        // 16 of 8 tokens: base · (2·2 − 1)^(4/2) = 9 · base.
        let stretched = Rope { theta: 90_000.0, ..plain };
        assert_eq!(dynamic.rows(0, 16, 16), stretched.rows(0, 16, 16));
        assert_eq!(dynamic.stretches_beyond(), Some(8));
    }
}
