//! Holds a backend to the CPU reference.

use crate::case::Case;
use crate::cases;
use crate::compare::tensors;
use crate::run::Runner;
use monolens_cpu::{Arithmetic, CpuBackend, CpuOptions};
use monolens_graph::plan::Fusions;
#[cfg(feature = "wgpu")]
use monolens_wgpu::{Choice, MatrixUnit, Tier, Tuning, WgpuBackend, WgpuOptions};
use std::collections::BTreeMap;

/// A runner on the CPU in exact arithmetic.
///
/// # Panics
/// When the CPU backend cannot be made.
pub fn cpu(fusions: Fusions) -> Runner {
    let options = CpuOptions { threads: None, arithmetic: Arithmetic::Exact };
    Runner::new(Box::new(CpuBackend::new(options).expect("a CPU backend")), fusions)
}

/// A runner on the first wgpu adapter, software ones too, forced to a tier; says SKIPPED where there is none.
///
/// # Panics
/// When there is none at all but `MONOLENS_REQUIRE_WGPU` is set.
#[cfg(feature = "wgpu")]
pub fn wgpu(tier: Tier, fusions: Fusions) -> Option<Runner> {
    Some(Runner::new(Box::new(open_wgpu(tier, None)?), fusions))
}

/// The same at [`Tier::Matrix`] with one of the matrix units.
#[cfg(feature = "wgpu")]
pub fn wgpu_unit(unit: MatrixUnit, fusions: Fusions) -> Option<Runner> {
    Some(Runner::new(Box::new(open_wgpu(Tier::Matrix, Some(unit))?), fusions))
}

/// The same at [`Tier::Baseline`] with one choice of presets for all projections.
#[cfg(feature = "wgpu")]
pub fn wgpu_preset(choice: Choice) -> Option<Runner> {
    let mut backend = open_wgpu(Tier::Baseline, None)?;
    backend.set_tuning(Tuning::everywhere(choice));
    Some(Runner::new(Box::new(backend), Fusions::ALL))
}

#[cfg(feature = "wgpu")]
fn open_wgpu(tier: Tier, matrix_unit: Option<MatrixUnit>) -> Option<WgpuBackend> {
    let options =
        WgpuOptions { tier: Some(tier), matrix_unit, allow_software: true, ..WgpuOptions::default() };
    match pollster::block_on(WgpuBackend::open(options)) {
        Ok(backend) => Some(backend),
        Err(error) => {
            println!("SKIPPED: wgpu at tier {tier:?}: {error}");
            let required = std::env::var_os("MONOLENS_REQUIRE_WGPU").is_some() && tier == Tier::Baseline;
            assert!(!required, "MONOLENS_REQUIRE_WGPU is set, and: {error}");
            None
        }
    }
}

/// The share of the allowed error that a case used.
async fn share_of_limit(reference: &mut Runner, runner: &mut Runner, case: &Case) -> Result<f64, String> {
    let want = reference.run(case).await?;
    let got = runner.run(case).await?;
    let mut worst = 0f64;
    for (name, want) in &want {
        let got = got.get(name).ok_or(format!("{}: {name} is missing", case.label))?;
        let error = tensors(got, want).map_err(|e| format!("{}: {name}: {e}", case.label))?;
        if error > case.limit {
            return Err(format!("{}: {name}: NMSE {error:.1e}, limit {:.0e}", case.label, case.limit));
        }
        worst = worst.max(if error == 0.0 { 0.0 } else { error / case.limit });
    }
    Ok(worst)
}

/// What became of the cases.
#[derive(Debug, Default)]
pub struct Report {
    /// The worst share of the allowed error of each operator.
    pub shares: BTreeMap<&'static str, f64>,
    /// Cases over their limit, and what else went wrong.
    pub failures: Vec<String>,
}

impl Report {
    async fn add(
        &mut self,
        reference: &mut Runner,
        runner: &mut Runner,
        operator: &'static str,
        case: &Case,
    ) {
        let worst = self.shares.entry(operator).or_default();
        match share_of_limit(reference, runner, case).await {
            Ok(share) => *worst = worst.max(share),
            Err(error) => self.failures.push(error),
        }
    }

    /// Prints the worst share of the limit for each operator.
    ///
    /// # Panics
    /// When a case was over its limit, naming the first twenty.
    fn hold(mut self, name: &str, cases: usize) {
        println!("{name}: {cases} cases an operator, worst share of the allowed error:");
        self.shares
            .iter()
            .for_each(|(operator, share)| println!("  {operator:<24} {:>6.2} %", share * 100.0));
        let count = self.failures.len();
        self.failures.truncate(20);
        assert!(count == 0, "{count} cases failed on {name}:\n{}", self.failures.join("\n"));
    }
}

/// Runs that many cases of every operator.
pub async fn compare(reference: &mut Runner, runner: &mut Runner, cases: usize) -> Report {
    compare_within(reference, runner, cases, |_, _| {}).await
}

/// The same, where `limits` may give a case another limit.
pub async fn compare_within(
    reference: &mut Runner,
    runner: &mut Runner,
    cases: usize,
    limits: fn(&str, &mut Case),
) -> Report {
    let mut report = Report::default();
    // For a quick look at one operator: its name, or a part of it.
    let wanted = std::env::var("MONOLENS_OPERATOR").unwrap_or_default();
    for (operator, draw) in cases::all().into_iter().filter(|(name, _)| name.contains(&wanted)) {
        for number in 0..cases {
            let mut case = draw(number);
            limits(operator, &mut case);
            report.add(reference, runner, operator, &case).await;
        }
    }
    report
}

/// Runs all cases and prints the worst share of the limit for each operator.
///
/// # Panics
/// When a case is over its limit, naming the first twenty.
pub fn hold_to_reference(runner: &mut Runner) {
    hold_within(runner, |_, _| {});
}

/// The same, where `limits` may give a case another limit.
///
/// # Panics
/// As [`hold_to_reference`].
pub fn hold_within(runner: &mut Runner, limits: fn(&str, &mut Case)) {
    let cases = runner.cases();
    let report = pollster::block_on(compare_within(&mut cpu(Fusions::NONE), runner, cases, limits));
    report.hold(&runner.name(), cases);
}

/// Holds a runner to the reference in some operators, in cases that are picked among those that can be drawn.
///
/// # Panics
/// When a case is over its limit, or there are not as many as the runner wants.
pub fn hold_picked(
    runner: &mut Runner,
    operators: &[&str],
    pick: fn(&Case) -> bool,
    limits: fn(&str, &mut Case),
) {
    // So many are drawn, to find those few.
    const DRAWN: usize = 6000;
    let (count, mut report, mut reference) = (runner.cases(), Report::default(), cpu(Fusions::NONE));
    for (operator, draw) in cases::all().into_iter().filter(|(name, _)| operators.contains(name)) {
        let picked: Vec<Case> = (0..DRAWN).map(draw).filter(pick).take(count).collect();
        assert_eq!(picked.len(), count, "{operator}: among {DRAWN} cases there are not more");
        for mut case in picked {
            limits(operator, &mut case);
            pollster::block_on(report.add(&mut reference, runner, operator, &case));
        }
    }
    assert_eq!(report.shares.len(), operators.len(), "{operators:?}");
    report.hold(&runner.name(), count);
}
