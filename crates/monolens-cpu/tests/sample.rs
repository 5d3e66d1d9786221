//! Sampling: the definition computed by sorting in f64, and the distribution that is drawn from.

mod common;

use common::*;
use monolens_cpu::ops::sample;
use monolens_graph::batch::{NO_TOKEN, SamplingRow, sampling_hash};
use rand::Rng;

/// The definition, by sorting.
fn by_sorting(logits: &[f32], row: &SamplingRow, seen: &[u32]) -> u32 {
    let mut l = logits.to_vec();
    if row.penalty != 1.0 {
        for (t, l) in l.iter_mut().enumerate().filter(|(t, _)| seen[t / 32] >> (t % 32) & 1 == 1) {
            let _ = t;
            *l = if *l > 0.0 { *l / row.penalty } else { *l * row.penalty };
        }
    }
    let first_largest = |values: &[f64]| {
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        values.iter().position(|&v| v == most).unwrap() as u32
    };
    if row.temperature == 0.0 {
        return first_largest(&wide(&l));
    }
    l.iter_mut().for_each(|l| *l /= row.temperature);
    let mut sorted = l.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let k = if row.top_k == 0 { l.len() } else { l.len().min(row.top_k as usize) };
    let least = sorted[k - 1];
    let mut kept: Vec<f32> = sorted.into_iter().filter(|&l| l >= least).collect();
    if row.top_p < 1.0 {
        let mut p = wide(&kept);
        softmax(&mut p);
        let mut mass = 0.0;
        let end = p.iter().position(|p| {
            mass += p;
            mass >= f64::from(row.top_p)
        });
        let last = kept[end.unwrap_or(kept.len() - 1)];
        kept.retain(|&l| l >= last);
    }
    let least = kept[kept.len() - 1];
    let noisy: Vec<f64> = l
        .iter()
        .enumerate()
        .map(|(t, &l)| {
            let u = (f64::from(sampling_hash(row, t as u32)) + 0.5) / 2_f64.powi(32);
            if l >= least { f64::from(l) - (-u.ln()).ln() } else { f64::NEG_INFINITY }
        })
        .collect();
    first_largest(&noisy)
}

#[test]
fn choices_are_those_of_the_definition() {
    let mut rng = rng(11);
    for case in 0..4000 {
        let vocab = [1, 2, 31, 32, 33, 257, 1009][case % 7];
        let mut logits: Vec<f32> = (0..vocab).map(|_| rng.random_range(-8.0..8.0)).collect();
        if case % 3 == 0 {
            // Ties.
            logits.iter_mut().for_each(|l| *l = l.round());
        }
        if case % 5 == 0 && vocab > 1 {
            logits[vocab / 2] = f32::NEG_INFINITY;
        }
        let row = SamplingRow {
            temperature: [0.0, 0.3, 1.0, 1.7][rng.random_range(0..4)],
            top_p: [1.0, 0.9, 0.5, 0.05][rng.random_range(0..4)],
            penalty: [1.0, 1.2, 0.8][rng.random_range(0..3)],
            top_k: [0, 1, 5, 50, 100_000][rng.random_range(0..5)],
            seed_low: case as u32,
            seed_high: 7,
            step: 3,
            reserved: 0,
        };
        let seen: Vec<u32> = (0..vocab.div_ceil(32)).map(|_| rng.random()).collect();
        let got = sample(&mut logits.clone(), &row, &seen);
        assert_eq!(got, by_sorting(&logits, &row, &seen), "{row:?}, {vocab} logits");
    }
}

#[test]
fn draws_follow_the_softmax() {
    let logits: Vec<f32> = (0..20).map(|i| ((i * 7 % 20) as f32) / 6.0 - 1.0).collect();
    for (temperature, seed) in [(1.0, 1), (0.7, 2), (2.0, 99)] {
        let mut p: Vec<f64> = logits.iter().map(|&l| f64::from(l / temperature)).collect();
        softmax(&mut p);
        let draws = 40_000;
        let mut counts = [0_u32; 20];
        for step in 0..draws {
            let row = SamplingRow { temperature, seed_low: seed, step, ..SamplingRow::GREEDY };
            counts[sample(&mut logits.clone(), &row, &[]) as usize] += 1;
        }
        let expected = p.iter().map(|p| p * f64::from(draws));
        let chi: f64 = counts.iter().zip(expected).map(|(&n, e)| (f64::from(n) - e).powi(2) / e).sum();
        // 19 degrees of freedom: 43.8 is exceeded once in a thousand.
        assert!(chi < 43.8, "chi-square {chi}");
    }
}

#[test]
fn a_row_without_a_finite_logit_gives_no_token() {
    let row = SamplingRow { temperature: 1.0, ..SamplingRow::GREEDY };
    for row in [row, SamplingRow::GREEDY] {
        assert_eq!(sample(&mut [f32::NEG_INFINITY; 5], &row, &[0]), NO_TOKEN);
        assert_eq!(sample(&mut [f32::NAN, 1.0], &row, &[0]), NO_TOKEN);
        assert_eq!(sample(&mut [f32::INFINITY; 2], &row, &[0]), NO_TOKEN);
    }
}

#[test]
fn an_infinite_logit_beside_finite_ones_wins() {
    for top_p in [1.0, 0.9] {
        let row = SamplingRow { temperature: 1.0, top_p, ..SamplingRow::GREEDY };
        assert_eq!(sample(&mut [1.0, f32::INFINITY, 2.0], &row, &[0]), 1);
    }
}

#[test]
fn greedy_takes_the_first_of_equals() {
    assert_eq!(sample(&mut [1.0, 5.0, 5.0, -1.0], &SamplingRow::GREEDY, &[0]), 1);
    let penalised = SamplingRow { penalty: 2.0, ..SamplingRow::GREEDY };
    assert_eq!(sample(&mut [1.0, 5.0, 5.0, -1.0], &penalised, &[0b0010]), 2);
}
