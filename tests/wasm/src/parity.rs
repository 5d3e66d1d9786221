//! The operator cases on WebGPU.

use monolens_tests::parity::{compare, cpu};
use monolens_tests::run::Runner;
use monolens_tests::{Fusions, Tier};
use monolens_wgpu::{WgpuBackend, WgpuOptions};
use serde::Serialize;
use wasm_bindgen::prelude::*;

/// What became of the cases.
#[derive(Serialize)]
struct Outcome {
    device: String,
    /// Why nothing was run, if nothing was.
    skipped: Option<String>,
    /// The worst share of the allowed error of each operator.
    operators: Vec<(&'static str, f64)>,
    failures: Vec<String>,
}

/// Runs `cases` cases of every operator at a tier, fused or not, against the CPU reference.
///
/// # Errors
/// An unknown tier.
#[wasm_bindgen(
    unchecked_return_type = "{ device: string; skipped?: string; operators: [string, number][]; failures: string[] }"
)]
pub async fn parity(tier: String, fused: bool, cases: usize) -> Result<JsValue, JsValue> {
    let tier = Tier::from_name(&tier).ok_or_else(|| JsValue::from_str("an unknown tier"))?;
    let options = WgpuOptions { tier: Some(tier), allow_software: true, ..WgpuOptions::default() };
    let fusions = if fused { Fusions::ALL } else { Fusions::NONE };
    let outcome = match WgpuBackend::open(options).await {
        Err(error) => Outcome {
            device: String::new(),
            skipped: Some(error.to_string()),
            operators: Vec::new(),
            failures: Vec::new(),
        },
        Ok(backend) => {
            let mut runner = Runner::new(Box::new(backend), fusions);
            let report = compare(&mut cpu(Fusions::NONE), &mut runner, cases).await;
            Outcome {
                device: runner.name(),
                skipped: None,
                operators: report.shares.into_iter().collect(),
                failures: report.failures,
            }
        }
    };
    Ok(serde_wasm_bindgen::to_value(&outcome)?)
}
