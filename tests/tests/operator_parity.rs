//! Every operator, plain and fused, with random shapes on every backend and tier that is there, against the CPU reference.
//!
//! A backend that is not there is reported as SKIPPED; with `MONOLENS_REQUIRE_WGPU=1` (as CI sets it) that is a failure.

use monolens_graph::plan::Fusions;
use monolens_tests::parity::{cpu, hold_picked, hold_to_reference, wgpu, wgpu_preset, wgpu_unit};
use monolens_wgpu::{Choice, Decode, MatrixUnit, Prefill, Tier, Tile};

#[test]
fn fused_cpu_operators_equal_the_reference() {
    hold_to_reference(&mut cpu(Fusions::ALL));
}

#[test]
fn wgpu_baseline_equals_the_reference() {
    wgpu(Tier::Baseline, Fusions::ALL).iter_mut().for_each(hold_to_reference);
}

#[test]
fn wgpu_without_fusions_equals_the_reference() {
    wgpu(Tier::Baseline, Fusions::NONE).iter_mut().for_each(hold_to_reference);
}

#[test]
fn wgpu_half_equals_the_reference() {
    wgpu(Tier::Half, Fusions::ALL).iter_mut().for_each(hold_to_reference);
}

#[test]
fn wgpu_subgroups_equals_the_reference() {
    wgpu(Tier::Subgroups, Fusions::ALL).iter_mut().for_each(hold_to_reference);
}

/// The defaults are in the tests above. Other operators know no presets, and ten cases an operator have every weight format, with
/// few rows and many.
#[test]
fn every_preset_of_the_projections_equals_the_reference() {
    const PROJECTIONS: [&str; 11] = [
        "linear",
        "linear, normed",
        "linear, residual",
        "linear, gelu",
        "linear, scaled residual",
        "linear, routed",
        "linear, chained",
        "gate_up",
        "mmoe ffn",
        "qkv_rope",
        "qkv_rope, routed",
    ];
    // The first of each is the default, which all other parity tests run.
    for (tile, decode) in Tile::ALL.into_iter().zip(Decode::ALL).skip(1) {
        println!("{tile} and {decode}:");
        let choice = Choice { prefill: Some(Prefill::Tiles(tile)), decode: Some(decode) };
        let runner = wgpu_preset(choice).map(|runner| runner.with_cases(10));
        runner.into_iter().for_each(|mut runner| hold_picked(&mut runner, &PROJECTIONS, |_| true, |_, _| {}));
    }
}

#[test]
fn wgpu_matrix_equals_the_reference() {
    for unit in MatrixUnit::ALL {
        wgpu_unit(unit, Fusions::ALL).iter_mut().for_each(hold_to_reference);
    }
}
