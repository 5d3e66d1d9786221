//! Chooses the next token of each sampled row.

use crate::frame::Frame;
use monolens_graph::batch::{NO_TOKEN, SamplingRow, sampling_hash};

/// More than any u gives: 33·ln 2 is 22.87.
const MOST_GUMBEL: f64 = 23.0;

/// The token chosen from one row of logits; `seen` has a bit for each token that occurred. `logits` are changed.
pub fn sample(logits: &mut [f32], row: &SamplingRow, seen: &[u32]) -> u32 {
    if !logits.iter().any(|l| l.is_finite()) || logits.iter().any(|l| l.is_nan()) {
        return NO_TOKEN;
    }
    if row.penalty != 1.0 {
        penalise(logits, row.penalty, seen);
    }
    if row.temperature == 0.0 {
        return argmax(logits.iter().map(|&l| f64::from(l)));
    }
    logits.iter_mut().for_each(|l| *l /= row.temperature);
    let mut least = f32::NEG_INFINITY;
    if row.top_k > 0 && (row.top_k as usize) < logits.len() {
        least = kth_largest(logits, row.top_k as usize);
    }
    if row.top_p < 1.0 {
        least = nucleus(logits, least, row.top_p);
    }
    let mut best = (0, f64::NEG_INFINITY);
    for (token, &l) in logits.iter().enumerate() {
        // Most tokens cannot win whatever they draw.
        if l >= least && f64::from(l) + MOST_GUMBEL > best.1 {
            let noisy = f64::from(l) + gumbel(row, token as u32);
            if noisy > best.1 {
                best = (token as u32, noisy);
            }
        }
    }
    best.0
}

fn penalise(logits: &mut [f32], penalty: f32, seen: &[u32]) {
    for (token, l) in logits.iter_mut().enumerate() {
        let occurred = seen.get(token / 32).is_some_and(|word| word >> (token % 32) & 1 == 1);
        if occurred {
            *l = if *l > 0.0 { *l / penalty } else { *l * penalty };
        }
    }
}

/// The place of the largest value, the first on ties.
fn argmax(values: impl Iterator<Item = f64>) -> u32 {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, value) in values.enumerate() {
        if value > best.1 {
            best = (i as u32, value);
        }
    }
    best.0
}

/// `−ln(−ln(u))` with the u of a token.
fn gumbel(row: &SamplingRow, token: u32) -> f64 {
    let u = (f64::from(sampling_hash(row, token)) + 0.5) / 4_294_967_296.0;
    -(-u.ln()).ln()
}

/// A float's bits, so changed that their order as integers is that of the floats; −0 and 0 are one.
fn ordered(x: f32) -> u32 {
    let bits = (x + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

fn from_ordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

/// The largest threshold for which `enough` holds; it holds for 0 and falls with the threshold.
fn bisect(enough: impl Fn(u32) -> bool) -> u32 {
    let mut threshold = 0;
    for bit in (0..32).rev() {
        let higher = threshold | 1 << bit;
        if enough(higher) {
            threshold = higher;
        }
    }
    threshold
}

/// The k-th largest value.
fn kth_largest(values: &[f32], k: usize) -> f32 {
    let bits: Vec<u32> = values.iter().map(|&x| ordered(x)).collect();
    from_ordered(bisect(|threshold| bits.iter().filter(|&&b| b >= threshold).count() >= k))
}

/// The largest threshold whose probability mass, among the logits not below `least`, is at least `top_p`.
fn nucleus(logits: &[f32], least: f32, top_p: f32) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |l: f32| if l == most { 1.0 } else { f64::from(l - most).exp() };
    let kept: Vec<(u32, f64)> =
        logits.iter().filter(|&&l| l >= least).map(|&l| (ordered(l), weight(l))).collect();
    let wanted = f64::from(top_p) * kept.iter().map(|(_, w)| w).sum::<f64>();
    let mass = |threshold| kept.iter().filter(|(b, _)| *b >= threshold).map(|(_, w)| w).sum::<f64>();
    from_ordered(bisect(|threshold| mass(threshold) >= wanted)).max(least)
}

pub(super) fn run(frame: &Frame<'_>, out: &mut [f32]) {
    let (logits, vocabulary) = (frame.f32s(0), frame.width(0));
    let rows: &[SamplingRow] = bytemuck::cast_slice(frame.u32s(1));
    let (seen, words) = (frame.u32s(2), frame.width(2));
    let out: &mut [u32] = bytemuck::cast_slice_mut(out);
    let ids = std::sync::Mutex::new(out);
    frame.product.pool.each(rows.len(), |i| {
        let mut logits = logits[i * vocabulary..][..vocabulary].to_vec();
        let id = sample(&mut logits, &rows[i], &seen[i * words..][..words]);
        ids.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[i] = id;
    });
}
