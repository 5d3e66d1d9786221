//! Every operator, plain and fused, with random shapes on every backend and tier that is there, against the CPU reference.
//!
//! A backend that is not there is reported as SKIPPED; with `MONOLENS_REQUIRE_WGPU=1` (as CI sets it) that is a failure.

use monolens_graph::plan::Fusions;
use monolens_tests::parity::{cpu, hold_to_reference, wgpu, wgpu_unit};
use monolens_wgpu::{MatrixUnit, Tier};

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

#[test]
fn wgpu_matrix_equals_the_reference() {
    for unit in MatrixUnit::ALL {
        wgpu_unit(unit, Fusions::ALL).iter_mut().for_each(hold_to_reference);
    }
}
