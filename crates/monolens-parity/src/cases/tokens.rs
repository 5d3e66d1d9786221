//! Ids to embeddings and logits to ids.

use super::DrawCase;
use crate::case::{Case, Draw};
use crate::compare::limit;
use monolens_graph::batch::{self, NO_VISUAL, RowInfo, SAMPLING_WORDS, SamplingRow};
use monolens_graph::{Axis, DType, ops};
use rand::Rng;

pub(super) const CASES: [(&str, DrawCase); 3] =
    [("embed", embed), ("gather_rows", gather_rows), ("sample", sample)];

fn embed(number: usize) -> Case {
    let mut d = Draw::new("embed", number);
    let rows = d.rows(97);
    d.axis(Axis::Rows, rows);
    let (vocab, width) = (d.size(130), d.inner(97));
    let table = d.weight("table", &[vocab, width]);
    let infos: Vec<RowInfo> = (0..rows)
        .map(|_| RowInfo { id: d.rng.random_range(0..vocab as u32), ..RowInfo::default() })
        .collect();
    let mut inputs =
        vec![d.indices(batch::ROWS, &[Axis::Rows.into(), 4.into()], bytemuck::cast_slice(&infos))];
    if number % 3 != 2 {
        let slots = 1 + d.size(61);
        let visual = d.modalities(rows);
        let slot = |d: &mut Draw, v: bool| if v { d.rng.random_range(0..slots as u32) } else { NO_VISUAL };
        let rows: Vec<u32> = visual.iter().map(|&v| slot(&mut d, v)).collect();
        inputs.push(d.indices(batch::VISUAL_ROWS, &[Axis::Rows.into()], &rows));
        inputs.push(d.state(batch::VISUAL, DType::F32, Axis::VisualSlots, slots, width));
    }
    let y = d.g.push("embed", ops::Embed { table }, &inputs).expect("a well-formed case");
    d.g.output("y", y).expect("one output");
    d.finish(limit::EXACT)
}

fn gather_rows(number: usize) -> Case {
    let mut d = Draw::new("gather_rows", number);
    let rows = d.rows(67).max(1);
    let samples = d.rows(16);
    d.axis(Axis::Rows, rows);
    d.axis(Axis::Samples, samples);
    let width = d.size(97);
    let x = d.input("x", &[Axis::Rows.into(), width.into()]);
    let picked: Vec<u32> = (0..samples).map(|_| d.rng.random_range(0..rows as u32)).collect();
    let picked = d.indices(batch::SAMPLE_ROWS, &[Axis::Samples.into()], &picked);
    let y = d.g.push("gather_rows", ops::GatherRows, &[x, picked]).expect("a well-formed case");
    d.g.output("y", y).expect("one output");
    d.finish(limit::EXACT)
}

/// Greedy and random rows side by side, with every filter on and off.
fn sample(number: usize) -> Case {
    let mut d = Draw::new("sample", number);
    d.scale = 1.0;
    let samples = d.rows(7);
    d.axis(Axis::Samples, samples);
    let vocab = d.size(130) * [1, 1, 7, 31][number % 4];
    let logits = d.input("logits", &[Axis::Samples.into(), vocab.into()]);
    let settings: Vec<SamplingRow> = (0..samples)
        .map(|i| {
            let on = |bit: usize| (number >> bit) & 1 == 1;
            SamplingRow {
                temperature: if (number + i).is_multiple_of(3) { 0.0 } else { 0.7 },
                top_p: if on(0) { 0.8 } else { 1.0 },
                penalty: if on(1) { 1.3 } else { 1.0 },
                top_k: if on(2) { 5 } else { 0 },
                seed_low: d.rng.random(),
                seed_high: d.rng.random(),
                step: i as u32,
                reserved: 0,
            }
        })
        .collect();
    let words = vocab.div_ceil(32);
    let seen: Vec<u32> = (0..samples * words).map(|_| d.rng.random()).collect();
    let shape = [Axis::Samples.into(), SAMPLING_WORDS.into()];
    let settings = d.indices(batch::SAMPLING, &shape, bytemuck::cast_slice(&settings));
    let seen = d.indices(batch::SEEN, &[Axis::Samples.into(), words.into()], &seen);
    let y = d.g.push("sample", ops::Sample, &[logits, settings, seen]).expect("a well-formed case");
    d.g.output("y", y).expect("one output");
    d.finish(limit::EXACT)
}
