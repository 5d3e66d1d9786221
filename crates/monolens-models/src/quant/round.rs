//! Rounding to integers in groups, with the scale of each group searched for the least squared error.

use half::f16;
use monolens_graph::{Bits, DType, Grouped};

/// Scales tried: the largest element comes to lie at so many steps, beyond the end of the range for the later ones. On
/// normal weights in groups of 128 and 4 bits this takes more than a tenth off the squared error of plain rounding (a test).
const STEPS: [f32; 8] = [1.0, 1.06, 1.12, 1.18, 1.25, 1.32, 1.4, 1.5];

/// Elements that are rounded by one thread before another one is worth its start.
#[cfg(not(target_arch = "wasm32"))]
const SHARE: usize = 1 << 18;

/// What rounding has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoundingError {
    /// Elements.
    pub elements: u64,
    /// Sum of the squared differences.
    pub squared: f64,
    /// Sum of the squared elements.
    pub power: f64,
    /// Largest difference.
    pub largest: f32,
}

impl RoundingError {
    /// The squared error in parts of the power, `sum (a−b)² / sum b²`.
    pub fn nmse(&self) -> f64 {
        if self.squared == 0.0 { 0.0 } else { self.squared / self.power }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            elements: self.elements + other.elements,
            squared: self.squared + other.squared,
            power: self.power + other.power,
            largest: self.largest.max(other.largest),
        }
    }
}

/// Rounds the elements of one weight as they come.
#[derive(Debug)]
pub struct Quantizer {
    format: Grouped,
    scales: Vec<u8>,
    error: RoundingError,
}

impl Quantizer {
    /// To integers of these bits in such groups, with scales in f16 (whatever the format says).
    pub fn new(format: Grouped) -> Self {
        Self {
            format: Grouped { scale: DType::F16, ..format },
            scales: Vec::new(),
            error: RoundingError::default(),
        }
    }

    /// The format of what comes out.
    pub fn format(&self) -> Grouped {
        self.format
    }

    /// Rounds whole groups and appends their words, little-endian. What is left of a group is not taken.
    pub fn push(&mut self, values: &[f32], words: &mut Vec<u8>) {
        let Grouped { bits, group, .. } = self.format;
        let groups = values.len() / group;
        let (scale_from, from) = (self.scales.len(), words.len());
        self.scales.resize(scale_from + 2 * groups, 0);
        words.resize(from + groups * bits.count() * group / 8, 0);
        let (scales, words) = (&mut self.scales[scale_from..], &mut words[from..]);
        let values = &values[..groups * group];
        #[cfg(not(target_arch = "wasm32"))]
        {
            let threads =
                std::thread::available_parallelism().map_or(1, usize::from).min(values.len() / SHARE);
            if threads > 1 {
                let share = groups.div_ceil(threads);
                let parts = values.chunks(share * group).zip(scales.chunks_mut(2 * share));
                let parts = parts.zip(words.chunks_mut(share * group * bits.count() / 8));
                let errors: Vec<RoundingError> = std::thread::scope(|scope| {
                    let run = |((v, s), w)| scope.spawn(move || round(bits, group, v, s, w));
                    let threads: Vec<_> = parts.map(run).collect();
                    // A thread of plain arithmetic does not panic.
                    threads.into_iter().map(|t| t.join().unwrap_or_default()).collect()
                });
                self.error = errors.into_iter().fold(self.error, RoundingError::and);
                return;
            }
        }
        self.error = self.error.and(round(bits, group, values, scales, words));
    }

    /// The scales in f16, little-endian, and what it has cost.
    pub fn finish(self) -> (Vec<u8>, RoundingError) {
        (self.scales, self.error)
    }
}

fn round(bits: Bits, group: usize, values: &[f32], scales: &mut [u8], words: &mut [u8]) -> RoundingError {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn avx2(
            bits: Bits,
            group: usize,
            values: &[f32],
            scales: &mut [u8],
            words: &mut [u8],
        ) -> RoundingError {
            round_here(bits, group, values, scales, words)
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: just found.
            return unsafe { avx2(bits, group, values, scales, words) };
        }
    }
    round_here(bits, group, values, scales, words)
}

#[inline(always)]
fn round_here(
    bits: Bits,
    group: usize,
    values: &[f32],
    scales: &mut [u8],
    words: &mut [u8],
) -> RoundingError {
    let mut total = RoundingError { elements: values.len() as u64, ..RoundingError::default() };
    let mut integers = vec![0_i32; group];
    let groups = values.chunks_exact(group).zip(scales.as_chunks_mut::<2>().0);
    for ((values, scale), words) in groups.zip(words.chunks_exact_mut(group * bits.count() / 8)) {
        let chosen = best_scale(bits, values);
        *scale = chosen.to_le_bytes();
        let step = Step::new(bits, chosen);
        for (q, &v) in integers.iter_mut().zip(values) {
            *q = step.integer(v) as i32;
        }
        for (to, q) in words.as_chunks_mut::<4>().0.iter_mut().zip(integers.chunks_exact(bits.per_word())) {
            *to = bits.pack(q).to_le_bytes();
        }
        let (squared, power, largest) = step.error(values);
        total.squared += f64::from(squared);
        total.power += f64::from(power);
        total.largest = total.largest.max(largest);
    }
    total
}

/// The scale of least squared error among those tried, then the one that fits its integers best.
#[inline(always)]
fn best_scale(bits: Bits, values: &[f32]) -> f16 {
    let largest = values.iter().fold(0f32, |most, v| most.max(v.abs()));
    let most = (bits.offset() - 1) as f32;
    // More than one step below the largest scale gains nothing in 8 bits.
    let steps = if bits == Bits::Eight { &STEPS[..1] } else { &STEPS[..] };
    let mut best = (f32::INFINITY, f16::ZERO);
    let consider = |scale: f32, best: &mut (f32, f16)| {
        let scale = f16::from_f32(scale.min(f16::MAX.to_f32()));
        let (squared, ..) = Step::new(bits, scale).error(values);
        if squared < best.0 {
            *best = (squared, scale);
        }
    };
    for step in steps {
        consider(largest / (most * step), &mut best);
    }
    let step = Step::new(bits, best.1);
    let (along, across) = values.iter().fold((0f32, 0f32), |(along, across), &v| {
        let q = step.integer(v);
        (along + q * v, across + q * q)
    });
    if across > 0.0 && along > 0.0 {
        consider(along / across, &mut best);
    }
    best.1
}

/// Rounding with one scale.
#[derive(Clone, Copy)]
struct Step {
    scale: f32,
    inverse: f32,
    low: f32,
    high: f32,
}

impl Step {
    #[inline(always)]
    fn new(bits: Bits, scale: f16) -> Self {
        let scale = scale.to_f32();
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let offset = bits.offset() as f32;
        Self { scale, inverse, low: -offset, high: offset - 1.0 }
    }

    /// The nearest integer of the range.
    #[inline(always)]
    fn integer(self, value: f32) -> f32 {
        // Adding 1.5·2^23 leaves no room for a fraction: rounds to even in two instructions everywhere.
        const ROUND: f32 = 12_582_912.0;
        ((value * self.inverse).clamp(self.low, self.high) + ROUND) - ROUND
    }

    /// Squared error, power, and largest error.
    #[inline(always)]
    fn error(self, values: &[f32]) -> (f32, f32, f32) {
        let (mut squared, mut power, mut largest) = ([0f32; 8], [0f32; 8], [0f32; 8]);
        for eight in values.as_chunks::<8>().0 {
            for i in 0..8 {
                let difference = eight[i] - self.integer(eight[i]) * self.scale;
                squared[i] += difference * difference;
                power[i] += eight[i] * eight[i];
                largest[i] = largest[i].max(difference.abs());
            }
        }
        (squared.iter().sum(), power.iter().sum(), largest.iter().fold(0f32, |a, &b| a.max(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;

    fn normal(n: usize) -> Vec<f32> {
        let mut rng = SplitMix::new(7);
        let mut uniform = || (rng.next_u64() >> 40) as f32 / (1 << 24) as f32 - 0.5;
        (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f32>() * 0.02).collect()
    }

    fn rounded(bits: Bits, group: usize, values: &[f32]) -> (Vec<f32>, RoundingError) {
        let mut quantizer = Quantizer::new(Grouped { bits, group, scale: DType::F16 });
        let mut words = Vec::new();
        // In uneven pieces of whole groups.
        let (a, b) = values.split_at(group);
        quantizer.push(a, &mut words);
        quantizer.push(b, &mut words);
        let (scales, error) = quantizer.finish();
        let scale = |i: usize| f16::from_le_bytes([scales[2 * (i / group)], scales[2 * (i / group) + 1]]);
        let word = |i: usize| {
            let at = i / bits.per_word() * 4;
            u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]])
        };
        let value = |i| bits.unpack(word(i), i % bits.per_word()) as f32 * scale(i).to_f32();
        ((0..values.len()).map(value).collect(), error)
    }

    #[test]
    fn the_error_told_is_the_error_made_and_smaller_than_that_of_plain_rounding() {
        let values = normal(SHARE * 2 + 640);
        for (bits, limit) in [(Bits::Four, 1.2e-2), (Bits::Eight, 6e-5)] {
            let (got, error) = rounded(bits, 128, &values);
            let squared = |a: &[f32]| -> f64 {
                a.iter().zip(&values).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
            };
            let made = squared(&got);
            assert!((made / error.squared - 1.0).abs() < 1e-3, "{made} {error:?}");
            assert!(error.nmse() < limit, "{bits:?}: {}", error.nmse());
            assert_eq!(error.elements, values.len() as u64);
            let plain: Vec<f32> = values
                .chunks(128)
                .flat_map(|group| {
                    let largest = group.iter().fold(0f32, |m, v| m.max(v.abs()));
                    let scale = largest / (bits.offset() - 1) as f32;
                    group.iter().map(move |v| (v / scale).round() * scale)
                })
                .collect();
            let share = made / squared(&plain);
            assert!(
                share < if bits == Bits::Four { 0.9 } else { 1.01 },
                "{bits:?}: {share} of plain rounding"
            );
        }
    }

    #[test]
    fn zeros_and_single_outliers_survive() {
        let mut values = vec![0.0; 64];
        values[40] = -3.0;
        let (got, error) = rounded(Bits::Four, 32, &values);
        assert!(error.nmse() < 1e-5, "{error:?}");
        assert!(got.iter().enumerate().all(|(i, &v)| (v - if i == 40 { -3.0 } else { 0.0 }).abs() < 0.01));
    }
}
