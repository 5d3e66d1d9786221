//! The operator cases on WebGPU.

use monolens_parity::report::{compare, cpu};
use monolens_parity::run::Runner;
use monolens_parity::{Fusions, cases};
use monolens_wgpu::{Tier, WgpuBackend, WgpuOptions};
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

/// Runs `count` cases of every operator at a tier, fused or not, against the CPU reference.
///
/// # Errors
/// An unknown tier; no CPU backend.
#[wasm_bindgen(
    unchecked_return_type = "{ device: string; skipped?: string; operators: [string, number][]; failures: string[] }"
)]
pub async fn parity(tier: String, fused: bool, count: usize) -> Result<JsValue, JsValue> {
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
            let mut reference = cpu(Fusions::NONE).map_err(|e| JsValue::from_str(&e.to_string()))?;
            let drawn =
                cases::all().into_iter().flat_map(|(name, draw)| (0..count).map(move |n| (name, draw(n))));
            let report = compare(&mut reference, &mut runner, drawn).await;
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
