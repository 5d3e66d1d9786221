//! A backend held to the CPU reference.

use crate::case::Case;
use crate::compare::{limit, tensors};
use crate::run::{Results, Runner};
use monolens_cpu::{Arithmetic, CpuBackend, CpuOptions};
use monolens_graph::BackendError;
use monolens_graph::plan::Fusions;
use std::collections::BTreeMap;

/// A runner on the CPU in exact arithmetic.
///
/// # Errors
/// When the CPU backend cannot be made.
pub fn cpu(fusions: Fusions) -> Result<Runner, BackendError> {
    let options = CpuOptions { threads: None, arithmetic: Arithmetic::Exact };
    Ok(Runner::new(Box::new(CpuBackend::new(options)?), fusions))
}

/// What became of cases.
#[derive(Debug, Default)]
pub struct Report {
    /// The worst share of the allowed error of each operator.
    pub shares: BTreeMap<&'static str, f64>,
    /// Cases over their limit, and what else went wrong.
    pub failures: Vec<String>,
}

impl Report {
    /// Runs a case on both and notes how it went.
    pub async fn add(
        &mut self,
        reference: &mut Runner,
        runner: &mut Runner,
        operator: &'static str,
        case: &Case,
    ) {
        match reference.run(case).await {
            Ok(want) => self.hold(runner, operator, case, &want).await,
            Err(error) => self.failures.push(error),
        }
    }

    /// Runs a case and holds it to what the reference gave.
    pub async fn hold(&mut self, runner: &mut Runner, operator: &'static str, case: &Case, want: &Results) {
        let worst = self.shares.entry(operator).or_default();
        match share_of_limit(runner, case, want).await {
            Ok(share) => *worst = worst.max(share),
            Err(error) => self.failures.push(error),
        }
    }
}

/// The share of the allowed error that a case used.
async fn share_of_limit(runner: &mut Runner, case: &Case, want: &Results) -> Result<f64, String> {
    let got = runner.run(case).await?;
    let mut worst = 0f64;
    for (name, want) in want {
        let got = got.get(name).ok_or(format!("{}: {name} is missing", case.label))?;
        let error = tensors(got, want).map_err(|e| format!("{}: {name}: {e}", case.label))?;
        if error > case.limit {
            return Err(format!("{}: {name}: NMSE {error:.1e}, limit {:.0e}", case.label, case.limit));
        }
        worst = worst.max(if error == 0.0 { 0.0 } else { error / case.limit });
    }
    Ok(worst)
}

/// Runs cases, each with its operator, on both.
pub async fn compare(
    reference: &mut Runner,
    runner: &mut Runner,
    cases: impl IntoIterator<Item = (&'static str, Case)>,
) -> Report {
    let mut report = Report::default();
    for (operator, case) in cases {
        report.add(reference, runner, operator, &case).await;
    }
    report
}

/// Gives projections and attention the limit of activations rounded to bf16, for backends that round them.
pub fn allow_bf16(operator: &str, case: &mut Case) {
    let rounded = ["linear", "gate_up", "mmoe", "qkv_rope", "attention", "tile_attention", "patch_embed"];
    if rounded.iter().any(|name| operator.starts_with(name)) && operator != "attention_map" {
        case.limit = case.limit.max(limit::BF16_MATMUL);
    }
}
