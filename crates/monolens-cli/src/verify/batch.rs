//! A left-padded batch of the reference as a packed batch of this engine.

use super::lab::Change;
use super::model::{Setting, open};
use super::report::Rows;
use super::stages::greedy;
use anyhow::Result;
use monolens_engine::{Inspect, Prompt};

/// Verifies the batch of a golden file, if it has one.
///
/// # Errors
/// When golden data cannot be read, or the device is not there.
pub fn verify(setting: &Setting<'_>, rows: &mut Rows<'_>) -> Result<()> {
    let Some(batch) = &setting.golden.batch else { return Ok(()) };
    rows.case("batch");
    let prompts: Option<Vec<Prompt>> =
        batch.cases.iter().map(|c| setting.prepared.get(c).map(|p| p.prompt.clone())).collect();
    let Some(prompts) = prompts else {
        rows.skipped("batch", "not all of its cases have a prompt");
        return Ok(());
    };
    verify_padding(setting, &prompts, rows)?;
    let Some(mut lab) = open(setting.folder, &Change::default(), setting.device, rows)? else {
        return Ok(());
    };
    if let Some(expected) = setting.tensors.numbers("batch.logits_last")? {
        let mut got = Vec::new();
        for prompt in &prompts {
            let n = prompt.ids.len();
            let request =
                Inspect { prompt: prompt.clone(), rows: Some(n - 1..n), logits: true, ..Inspect::default() };
            match pollster::block_on(lab.engine.inspect(request)) {
                Ok(seen) => got.extend(seen.logits.map(|l| l.f32s()).unwrap_or_default()),
                Err(error) => rows.failed("logits_last", &error.to_string()),
            }
        }
        rows.close("logits_last", &expected.shape, &got, &expected.values);
    }
    let expected = match setting.tensors.ids("batch.generated")? {
        Some((shape, ids)) => {
            ids.chunks(shape.last().copied().unwrap_or(1).max(1)).map(<[u32]>::to_vec).collect()
        }
        None => batch.generated.clone(),
    };
    let count = expected.iter().map(Vec::len).max().unwrap_or(0);
    match greedy(&mut lab, &prompts, count) {
        Ok(answers) => {
            for ((name, got), expected) in batch.cases.iter().zip(&answers).zip(&expected) {
                rows.sequence(&format!("generated ({name}, packed)"), &[expected.len()], got, expected);
            }
        }
        Err(error) => rows.failed("generated (packed)", &format!("{error:#}")),
    }
    // One after another each answer takes a run for its prompt and one a token; together they share runs.
    let steps = lab.engine.stats().steps;
    let apart = (count * prompts.len()) as u64;
    rows.exact("runs", &format!("{steps} runs"), steps < apart + prompts.len() as u64, || {
        format!("expected fewer than {apart}, got {steps}: the sequences did not run together")
    });
    Ok(())
}

/// The padded ids without their padding are the prompts.
fn verify_padding(setting: &Setting<'_>, prompts: &[Prompt], rows: &mut Rows<'_>) -> Result<()> {
    let ids = setting.tensors.ids("batch.input_ids")?;
    let mask = setting.tensors.ids("batch.attention_mask")?;
    let (Some((shape, ids)), Some((_, mask))) = (ids, mask) else { return Ok(()) };
    let width = shape.last().copied().unwrap_or(1).max(1);
    for ((ids, mask), (prompt, name)) in ids
        .chunks(width)
        .zip(mask.chunks(width))
        .zip(prompts.iter().zip(setting.golden.batch.iter().flat_map(|b| &b.cases)))
    {
        let real: Vec<u32> = ids.iter().zip(mask).filter(|(_, m)| **m != 0).map(|(id, _)| *id).collect();
        rows.sequence(&format!("input_ids ({name})"), &[real.len()], &prompt.ids, &real);
    }
    Ok(())
}
