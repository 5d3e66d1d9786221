//! Holds a backend to the CPU reference.

use crate::case::Case;
use crate::run::Runner;
use crate::{cases, compare, compare::limit};
use monolens_cpu::{Arithmetic, CpuBackend, CpuOptions};
use monolens_cuda::{CudaBackend, CudaOptions};
use monolens_cuda_shim::ShimGpu;
use monolens_graph::plan::Fusions;
#[cfg(feature = "wgpu")]
use monolens_wgpu::{Tier, WgpuBackend, WgpuOptions};
use std::collections::BTreeMap;
use std::time::Instant;

/// Cases an operator on the CPU in place of a GPU, which is slow: each stored type with each mix of modalities.
const SHIM_CASES: usize = 24;

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

/// A runner on the CUDA backend with its kernels run by the CPU; says SKIPPED where there can be none.
///
/// # Panics
/// When there can be none but `MONOLENS_REQUIRE_CUDA_SHIM` is set.
pub fn cuda_shim(arithmetic: monolens_cuda::Arithmetic, fusions: Fusions) -> Option<Runner> {
    match ShimGpu::open() {
        Ok(gpu) => {
            let options = CudaOptions { arithmetic, ..CudaOptions::default() };
            Some(Runner::new(Box::new(CudaBackend::on(gpu, &options)), fusions).with_cases(SHIM_CASES))
        }
        Err(error) => {
            println!("SKIPPED: CUDA kernels on the CPU: {error}");
            let required = std::env::var_os("MONOLENS_REQUIRE_CUDA_SHIM").is_some();
            assert!(!required, "MONOLENS_REQUIRE_CUDA_SHIM is set, and: {error}");
            None
        }
    }
}

/// A runner on the first CUDA device; says SKIPPED where there is none.
///
/// # Panics
/// When there is none but `MONOLENS_REQUIRE_CUDA` is set.
pub fn cuda(arithmetic: monolens_cuda::Arithmetic, fusions: Fusions) -> Option<Runner> {
    let options = CudaOptions { arithmetic, ..CudaOptions::default() };
    match CudaBackend::open(&options) {
        Ok(backend) => Some(Runner::new(Box::new(backend), fusions)),
        Err(error) => {
            println!("SKIPPED: CUDA: {error}");
            let required = std::env::var_os("MONOLENS_REQUIRE_CUDA").is_some();
            assert!(!required, "MONOLENS_REQUIRE_CUDA is set, and: {error}");
            None
        }
    }
}

/// Operators in which [`monolens_cuda::Arithmetic::Fast`] rounds activations to bf16.
fn rounds_activations(operator: &str) -> bool {
    ["linear", "gate_up", "mmoe", "qkv_rope", "attention", "tile_attention", "patch_embed"]
        .iter()
        .any(|name| operator.starts_with(name))
        && operator != "attention_map"
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
    hold(runner, |_, _| {});
}

/// The same for a backend that rounds activations to bf16: projections and attention have the limit of bf16 products.
///
/// # Panics
/// As [`hold_to_reference`].
pub fn hold_to_reference_in_bf16(runner: &mut Runner) {
    hold(runner, |operator, case| {
        if rounds_activations(operator) {
            case.limit = case.limit.max(limit::BF16_MATMUL);
        }
    });
}

fn hold(runner: &mut Runner, adjust: fn(&str, &mut Case)) {
    let mut reference = cpu(Fusions::NONE);
    let (mut table, mut failures) = (BTreeMap::new(), Vec::new());
    // For a quick look at one operator: its name, or a part of it.
    let wanted = std::env::var("MONOLENS_OPERATOR").unwrap_or_default();
    let count = runner.cases();
    for (operator, draw) in cases::all().into_iter().filter(|(name, _)| name.contains(&wanted)) {
        let (mut worst, start) = (0f64, Instant::now());
        for number in 0..count {
            let mut case = draw(number);
            adjust(operator, &mut case);
            match share_of_limit(&mut reference, runner, &case) {
                Ok(share) => worst = worst.max(share),
                Err(error) => failures.push(error),
            }
        }
        table.insert(operator, (worst, start.elapsed()));
    }
    println!("{}: {count} cases an operator, worst share of the allowed error, seconds:", runner.name());
    for (operator, (share, time)) in &table {
        println!("  {operator:<24} {:>6.2} % {:>6.1}", share * 100.0, time.as_secs_f64());
    }
    let count = failures.len();
    failures.truncate(20);
    assert!(failures.is_empty(), "{count} cases failed on {}:\n{}", runner.name(), failures.join("\n"));
}
