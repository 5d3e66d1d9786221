//! The CUDA backend against the CPU reference: its kernels run by the CPU everywhere, and on a GPU where there is one.
//!
//! Where no C++ compiler is the first are reported as SKIPPED, where no GPU is the second; with
//! `MONOLENS_REQUIRE_CUDA_SHIM=1` (as CI sets it) and `MONOLENS_REQUIRE_CUDA=1` that is a failure.

use monolens_cuda::Arithmetic;
use monolens_graph::plan::Fusions;
use monolens_tests::parity::{cuda, cuda_shim, hold_to_reference, hold_to_reference_in_bf16};

#[test]
fn kernels_on_the_cpu_equal_the_reference() {
    cuda_shim(Arithmetic::Exact, Fusions::ALL).iter_mut().for_each(hold_to_reference);
}

#[test]
fn kernels_on_the_cpu_without_fusions_equal_the_reference() {
    cuda_shim(Arithmetic::Exact, Fusions::NONE).iter_mut().for_each(hold_to_reference);
}

#[test]
fn fast_kernels_on_the_cpu_stay_within_bf16() {
    cuda_shim(Arithmetic::Fast, Fusions::ALL).iter_mut().for_each(hold_to_reference_in_bf16);
}

#[test]
fn a_gpu_equals_the_reference() {
    cuda(Arithmetic::Exact, Fusions::ALL).iter_mut().for_each(hold_to_reference);
}

#[test]
fn a_gpu_without_fusions_equals_the_reference() {
    cuda(Arithmetic::Exact, Fusions::NONE).iter_mut().for_each(hold_to_reference);
}

#[test]
fn a_fast_gpu_stays_within_bf16() {
    cuda(Arithmetic::Fast, Fusions::ALL).iter_mut().for_each(hold_to_reference_in_bf16);
}
