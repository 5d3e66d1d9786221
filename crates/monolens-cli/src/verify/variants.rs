//! Cases under changed weights or settings.

use super::golden::Variant;
use super::lab::Change;
use super::model::{Setting, open};
use super::report::Rows;
use super::stages;
use anyhow::{Context, Result};
use monolens_engine::Inspect;
use serde_json::Value;
use std::path::PathBuf;

/// Two bf16 runs round differently: each is about as far from f32 as the reference's, so they may be twice as far apart.
const BF16_FACTOR: f64 = 2.0;

/// Verifies all variants of a golden file, and its bf16 run.
///
/// # Errors
/// When golden data cannot be read, or the device is not there.
pub fn verify(setting: &Setting<'_>, rows: &mut Rows<'_>) -> Result<()> {
    let copies = copies(setting);
    for (name, variant) in &setting.golden.variants {
        rows.case(name);
        match change_of(name, variant) {
            Some(change) => verify_variant(name, variant, setting, setting.folder.to_owned(), &change, rows)?,
            None => rows.skipped(name, &format!("a variant of unknown kind ({})", variant.note)),
        }
        if name == "bf16_weights" {
            for copy in &copies {
                let short = copy.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                rows.case(&format!("{name} ({short}/)"));
                verify_variant(name, variant, setting, copy.clone(), &Change::default(), rows)?;
            }
        }
    }
    if !setting.golden.variants.contains_key("bf16_weights") {
        for copy in &copies {
            rows.case("copies")
                .skipped(&copy.display().to_string(), "the golden file has no variant bf16_weights");
        }
    }
    verify_bf16_run(setting, &copies, rows)
}

/// Subfolders with the weights in another form.
fn copies(setting: &Setting<'_>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(setting.folder).into_iter().flatten();
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.join("config.json").is_file()).collect();
    folders.sort();
    folders
}

/// What a variant changes, by its name and its overrides.
fn change_of(name: &str, variant: &Variant) -> Option<Change> {
    let mut change = Change { llm_config: variant.llm_config_override.clone(), ..Change::default() };
    match name {
        "bf16_weights" => change.round_weights = true,
        "chained" => {
            let key = "visual_attention_experts".to_owned();
            change.llm_config.insert(key, Value::String("qkvo_chained".into()));
        }
        _ if change.llm_config.is_empty() => return None,
        _ => {}
    }
    Some(change)
}

fn verify_variant(
    name: &str,
    variant: &Variant,
    setting: &Setting<'_>,
    folder: PathBuf,
    change: &Change,
    rows: &mut Rows<'_>,
) -> Result<()> {
    let Some(prepared) = setting.prepared.get(&variant.case) else {
        rows.skipped(name, &format!("its case {} has no prompt", variant.case));
        return Ok(());
    };
    let Some(mut lab) = open(&folder, change, setting.device, rows)? else { return Ok(()) };
    stages::verify(name, prepared, setting.tensors, &mut lab, rows).with_context(|| name.to_owned())?;
    let ids = setting.tensors.ids(&format!("{name}.generated"))?.map(|(_, ids)| ids);
    let expected = ids.unwrap_or_else(|| variant.generated.clone());
    stages::verify_steps(name, &expected, prepared, setting.tensors, &mut lab, rows)?;
    if !expected.is_empty() {
        stages::greedy_row("generated", &expected, prepared, &mut lab, rows);
    }
    Ok(())
}

/// A run in the device's own fast arithmetic on bf16 weights: of the reference's order of magnitude only.
fn verify_bf16_run(setting: &Setting<'_>, copies: &[PathBuf], rows: &mut Rows<'_>) -> Result<()> {
    let Some(run) = &setting.golden.bf16_run else { return Ok(()) };
    rows.case("bf16_run");
    let Some(expected) = setting.tensors.numbers("bf16_run.logits_last")? else {
        rows.skipped("logits_last", "the golden file has no tensor bf16_run.logits_last");
        return Ok(());
    };
    let Some(prepared) = setting.prepared.get(&run.case) else {
        rows.skipped("logits_last", &format!("its case {} has no prompt", run.case));
        return Ok(());
    };
    let folder = copies.iter().find(|c| c.ends_with("bf16")).cloned();
    let round_weights = folder.is_none();
    let change = Change { fast: true, round_weights, ..Change::default() };
    let folder = folder.unwrap_or_else(|| setting.folder.to_owned());
    let Some(mut lab) = open(&folder, &change, setting.device, rows)? else { return Ok(()) };
    let n = prepared.prompt.ids.len();
    let request =
        Inspect { prompt: prepared.prompt.clone(), rows: Some(n - 1..n), logits: true, ..Inspect::default() };
    match pollster::block_on(lab.engine.inspect(request)) {
        Ok(seen) => {
            let got = seen.logits.map(|l| l.f32s()).unwrap_or_default();
            let limit = BF16_FACTOR * run.max_abs_diff_to_f32;
            let note = "fast arithmetic on both sides: order of magnitude only".to_owned();
            rows.within("logits_last", &expected.shape, &got, &expected.values, limit, note);
        }
        Err(error) => rows.failed("logits_last", &error.to_string()),
    }
    Ok(())
}
