//! Holds a backend to the CPU reference.

use crate::case::Case;
use crate::run::Runner;
use crate::{cases, compare};
use monolens_cpu::{Arithmetic, CpuBackend, CpuOptions};
use monolens_graph::plan::Fusions;
use monolens_wgpu::{Tier, WgpuBackend, WgpuOptions};
use std::collections::BTreeMap;

/// Cases an operator.
const CASES: usize = 64;

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
pub fn wgpu(tier: Tier, fusions: Fusions) -> Option<Runner> {
    let options = WgpuOptions { tier: Some(tier), allow_software: true, ..WgpuOptions::default() };
    match pollster::block_on(WgpuBackend::open(options)) {
        Ok(backend) => Some(Runner::new(Box::new(backend), fusions)),
        Err(error) => {
            println!("SKIPPED: wgpu at tier {tier:?}: {error}");
            let required = std::env::var_os("MONOLENS_REQUIRE_WGPU").is_some() && tier == Tier::Baseline;
            assert!(!required, "MONOLENS_REQUIRE_WGPU is set, and: {error}");
            None
        }
    }
}

/// The share of the allowed error that a case used.
fn share_of_limit(reference: &mut Runner, runner: &mut Runner, case: &Case) -> Result<f64, String> {
    let want = reference.run(case)?;
    let got = runner.run(case)?;
    let mut worst = 0f64;
    for (name, want) in &want {
        let got = got.get(name).ok_or(format!("{}: {name} is missing", case.label))?;
        let error = compare::tensors(got, want).map_err(|e| format!("{}: {name}: {e}", case.label))?;
        if error > case.limit {
            return Err(format!("{}: {name}: NMSE {error:.1e}, limit {:.0e}", case.label, case.limit));
        }
        worst = worst.max(if error == 0.0 { 0.0 } else { error / case.limit });
    }
    Ok(worst)
}

/// Runs all cases and prints the worst share of the limit for each operator.
///
/// # Panics
/// When a case is over its limit, naming the first twenty.
pub fn hold_to_reference(runner: &mut Runner) {
    let mut reference = cpu(Fusions::NONE);
    let (mut table, mut failures) = (BTreeMap::new(), Vec::new());
    for (operator, draw) in cases::all() {
        let mut worst = 0f64;
        for number in 0..CASES {
            match share_of_limit(&mut reference, runner, &draw(number)) {
                Ok(share) => worst = worst.max(share),
                Err(error) => failures.push(error),
            }
        }
        table.insert(operator, worst);
    }
    println!("{}: {CASES} cases an operator, worst share of the allowed error:", runner.name());
    table.iter().for_each(|(operator, share)| println!("  {operator:<24} {:>6.2} %", share * 100.0));
    let count = failures.len();
    failures.truncate(20);
    assert!(failures.is_empty(), "{count} cases failed on {}:\n{}", runner.name(), failures.join("\n"));
}
