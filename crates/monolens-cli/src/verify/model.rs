//! A model folder against its golden data.

use super::case::{self, Prepared};
use super::golden::{Golden, Tensors, read_json};
use super::images::Images;
use super::lab::{Change, Lab, Unopened};
use super::report::Rows;
use super::{batch, stages, variants};
use crate::args::DeviceArgs;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Prompt rows in a step when chunked prefill is verified: no divisor of anything.
const ODD_CHUNK: usize = 37;

/// Everything that variants and batches share.
pub struct Setting<'a> {
    /// The model folder.
    pub folder: &'a Path,
    /// `golden.json`.
    pub golden: &'a Golden,
    /// `golden.safetensors`.
    pub tensors: &'a Tensors,
    /// Where to compute.
    pub device: &'a DeviceArgs,
    /// The prompts of all cases that could be built.
    pub prepared: &'a BTreeMap<String, Prepared>,
}

/// Opens a lab; a model that cannot be opened is a row, a device that is not there an error.
pub fn open(folder: &Path, change: &Change, device: &DeviceArgs, rows: &mut Rows<'_>) -> Result<Option<Lab>> {
    match Lab::open(folder, change, device) {
        Ok(lab) => Ok(Some(lab)),
        Err(Unopened::Device(error)) => Err(error),
        Err(Unopened::Model(error)) => {
            rows.failed("open", &format!("{error:#}"));
            Ok(None)
        }
    }
}

/// Verifies a model folder.
///
/// # Errors
/// When golden data cannot be read, or the device is not there.
pub fn verify(
    folder: &Path,
    golden_path: &Path,
    images: &Images,
    device: &DeviceArgs,
    rows: &mut Rows<'_>,
) -> Result<()> {
    let golden: Golden = read_json(golden_path)?;
    let tensors = Tensors::beside(golden_path)?;
    rows.case("");
    let Some(mut lab) = open(folder, &Change::default(), device, rows)? else { return Ok(()) };
    rows.device(&lab.device);
    verify_config(&golden, &lab, rows);
    let mut prepared = BTreeMap::new();
    for (name, case) in &golden.cases {
        rows.case(name);
        let built = case::prepare(name, case, &tensors, images, &lab, rows).with_context(|| name.clone())?;
        let Some(built) = built else { continue };
        stages::verify(name, &built, &tensors, &mut lab, rows).with_context(|| name.clone())?;
        stages::verify_steps(name, &case.generated, &built, &tensors, &mut lab, rows)?;
        stages::verify_greedy(case, &built, &mut lab, rows);
        prepared.insert(name.clone(), built);
    }
    drop(lab);
    let setting = Setting { folder, golden: &golden, tensors: &tensors, device, prepared: &prepared };
    verify_chunked(&setting, rows)?;
    batch::verify(&setting, rows)?;
    variants::verify(&setting, rows)
}

/// What the golden file says about the model itself.
fn verify_config(golden: &Golden, lab: &Lab, rows: &mut Rows<'_>) {
    let model = lab.engine.model();
    let config = model.config();
    rows.case("config");
    let mut number = |what: &str, expected: Option<usize>, got: usize| {
        if let Some(expected) = expected {
            rows.exact(what, "", expected == got, || format!("expected {expected}, got {got}"));
        }
    };
    let placeholder = golden.img_context_token_id.map(|id| id as usize);
    number("img_context_token_id", placeholder, model.tokenizer().special().img_context as usize);
    number("tokens_per_tile", golden.tokens_per_tile, config.num_image_token());
    number("tile", golden.tile, config.tile_size);
    if let Some(expected) = &golden.visual_attention_experts {
        let got = model.experts().attention.name();
        rows.exact("visual_attention_experts", "", expected == got, || {
            format!("expected {expected}, got {got}")
        });
    }
}

/// The same answers when prompts are prefilled in pieces: routing and rotations must not depend on them.
fn verify_chunked(setting: &Setting<'_>, rows: &mut Rows<'_>) -> Result<()> {
    rows.case("chunked");
    let change = Change { chunk: Some(ODD_CHUNK), ..Change::default() };
    let Some(mut lab) = open(setting.folder, &change, setting.device, rows)? else { return Ok(()) };
    for (name, prepared) in setting.prepared {
        let Some(case) = setting.golden.cases.get(name).filter(|c| !c.generated.is_empty()) else { continue };
        let what = format!("{name}.generated");
        stages::greedy_row(&what, &case.generated, prepared, &mut lab, rows);
    }
    Ok(())
}
