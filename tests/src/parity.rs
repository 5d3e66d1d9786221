//! Holds a backend to the CPU reference.

use monolens_graph::plan::Fusions;
use monolens_parity::case::Case;
use monolens_parity::cases::{self, DrawCase};
use monolens_parity::report::{self, Report, compare};
use monolens_parity::run::Runner;
#[cfg(feature = "wgpu")]
use monolens_wgpu::{Choice, MatrixUnit, Tier, Tuning, WgpuBackend, WgpuOptions};

/// A runner on the CPU in exact arithmetic.
///
/// # Panics
/// When the CPU backend cannot be made.
pub fn cpu(fusions: Fusions) -> Runner {
    report::cpu(fusions).expect("a CPU backend")
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

/// Cases an operator of a runner; `MONOLENS_CASES` makes them fewer for a quick look.
pub fn cases_of(runner: &Runner) -> usize {
    let asked = std::env::var("MONOLENS_CASES").ok().and_then(|n| n.parse().ok());
    asked.map_or(runner.cases(), |n: usize| n.min(runner.cases()))
}

/// Prints the worst share of the limit for each operator.
///
/// # Panics
/// When a case was over its limit, naming the first twenty.
fn hold(mut report: Report, name: &str, cases: usize) {
    println!("{name}: {cases} cases an operator, worst share of the allowed error:");
    report.shares.iter().for_each(|(operator, share)| println!("  {operator:<24} {:>6.2} %", share * 100.0));
    let count = report.failures.len();
    report.failures.truncate(20);
    assert!(count == 0, "{count} cases failed on {name}:\n{}", report.failures.join("\n"));
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
    let count = cases_of(runner);
    // For a quick look at one operator: its name, or a part of it.
    let wanted = std::env::var("MONOLENS_OPERATOR").unwrap_or_default();
    let wanted = cases::all().into_iter().filter(|(name, _)| name.contains(&wanted));
    hold_drawn(runner, wanted, count, limits);
}

/// Holds a runner to the reference at sizes for which there are kernels of their own.
///
/// # Panics
/// As [`hold_to_reference`].
pub fn hold_large(runner: &mut Runner, limits: fn(&str, &mut Case)) {
    // Every format of weights twice.
    let count = cases_of(runner).min(10);
    hold_drawn(runner, cases::large(), count, limits);
}

fn hold_drawn(
    runner: &mut Runner,
    operators: impl IntoIterator<Item = (&'static str, DrawCase)>,
    count: usize,
    limits: fn(&str, &mut Case),
) {
    let drawn = operators.into_iter().flat_map(|(operator, draw)| {
        (0..count).map(move |number| {
            let mut case = draw(number);
            limits(operator, &mut case);
            (operator, case)
        })
    });
    let report = pollster::block_on(compare(&mut cpu(Fusions::NONE), runner, drawn));
    hold(report, &runner.name(), count);
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
    let (count, mut report, mut reference) = (cases_of(runner), Report::default(), cpu(Fusions::NONE));
    for (operator, draw) in cases::all().into_iter().filter(|(name, _)| operators.contains(name)) {
        let picked: Vec<Case> = (0..DRAWN).map(draw).filter(pick).take(count).collect();
        assert_eq!(picked.len(), count, "{operator}: among {DRAWN} cases there are not more");
        for mut case in picked {
            limits(operator, &mut case);
            pollster::block_on(report.add(&mut reference, runner, operator, &case));
        }
    }
    assert_eq!(report.shares.len(), operators.len(), "{operators:?}");
    hold(report, &runner.name(), count);
}
