//! The CUDA backend as a [`Runner`]: on a GPU, and with its kernels run by the CPU.

use crate::parity::{hold_large, hold_picked, hold_within};
use monolens_cuda::{Arithmetic, CudaBackend, CudaOptions, Gemm};
use monolens_cuda_shim::ShimGpu;
use monolens_graph::plan::Fusions;
use monolens_graph::{DType, WeightFormat, batch};
use monolens_parity::case::Case;
use monolens_parity::report::allow_bf16;
use monolens_parity::run::Runner;
use std::rc::Rc;

/// Cases an operator on the CPU in place of a GPU, which is slow.
const SHIM_CASES: usize = 24;
/// The same where the vendor's library multiplies, which few cases ask for.
const PRODUCT_CASES: usize = 8;
/// What it does on CUDA, for rows enough.
const PRODUCTS: [&str; 6] =
    ["linear", "linear, normed", "linear, residual", "gate_up", "qkv_rope", "patch_embed"];

/// Options with one who multiplies.
fn options(arithmetic: Arithmetic, gemm: Gemm) -> CudaOptions {
    CudaOptions { arithmetic, gemm, ..CudaOptions::default() }
}

/// A CPU in place of a GPU; says SKIPPED where there can be none.
///
/// # Panics
/// When there can be none but `MONOLENS_REQUIRE_CUDA_SHIM` is set.
pub fn shim() -> Option<Rc<ShimGpu>> {
    match ShimGpu::open() {
        Ok(gpu) => Some(gpu),
        Err(error) => {
            println!("SKIPPED: CUDA kernels on the CPU: {error}");
            let required = std::env::var_os("MONOLENS_REQUIRE_CUDA_SHIM").is_some();
            assert!(!required, "MONOLENS_REQUIRE_CUDA_SHIM is set, and: {error}");
            None
        }
    }
}

/// A runner on the CUDA backend with its kernels, all its own, run by the CPU.
///
/// # Panics
/// As [`shim`].
pub fn cuda_shim(arithmetic: Arithmetic, fusions: Fusions) -> Option<Runner> {
    let backend = CudaBackend::on(shim()?, &options(arithmetic, Gemm::Own));
    Some(Runner::new(Box::new(backend), fusions).with_cases(SHIM_CASES))
}

/// A runner on the first CUDA device with kernels all its own; says SKIPPED where there is none.
///
/// # Panics
/// When there is none but `MONOLENS_REQUIRE_CUDA` is set.
pub fn cuda(arithmetic: Arithmetic, fusions: Fusions) -> Option<Runner> {
    match CudaBackend::open(&options(arithmetic, Gemm::Own)) {
        Ok(backend) => Some(Runner::new(Box::new(backend), fusions)),
        Err(error) => {
            println!("SKIPPED: CUDA: {error}");
            let required = std::env::var_os("MONOLENS_REQUIRE_CUDA").is_some();
            assert!(!required, "MONOLENS_REQUIRE_CUDA is set, and: {error}");
            None
        }
    }
}

/// A runner on a CPU in place of a GPU whose vendor's library multiplies.
pub fn shim_with_products(gpu: Rc<ShimGpu>, arithmetic: Arithmetic) -> Runner {
    let backend = CudaBackend::on(gpu, &options(arithmetic, Gemm::Library));
    Runner::new(Box::new(backend), Fusions::ALL).with_cases(PRODUCT_CASES)
}

/// A runner on the first CUDA device where cuBLASLt multiplies; says SKIPPED where there is either not.
pub fn cuda_with_products(arithmetic: Arithmetic) -> Option<Runner> {
    match CudaBackend::open(&options(arithmetic, Gemm::Library)) {
        Ok(backend) => Some(Runner::new(Box::new(backend), Fusions::ALL).with_cases(PRODUCT_CASES)),
        Err(error) => {
            println!("SKIPPED: CUDA with cuBLASLt: {error}");
            None
        }
    }
}

/// Whether a case is one for the vendor's library: matrices in bf16, not routed, and more rows than decoding has.
fn is_for_products(case: &Case) -> bool {
    let is_bf16 = |format: WeightFormat| format == WeightFormat::Plain(DType::BF16);
    let mut matrices = case.weights.iter().filter(|(spec, ..)| spec.shape.len() > 1).map(|m| m.1);
    let rows = case.graph.outputs.get("y").map_or(0, |&id| case.graph.value(id).shape.rows(&case.axes));
    rows > 64 && !case.inputs.contains_key(batch::ROUTING) && matrices.all(is_bf16)
}

/// Holds a runner to the reference in what the vendor's library does.
///
/// # Panics
/// When a case is over its limit.
pub fn hold_products(runner: &mut Runner, arithmetic: Arithmetic) {
    hold_picked(runner, &PRODUCTS, is_for_products, limits(arithmetic));
}

/// Holds a runner in [`Arithmetic::Fast`] to the reference: projections and attention have the limit of bf16 products.
///
/// # Panics
/// When a case is over its limit.
pub fn hold_fast(runner: &mut Runner) {
    hold_within(runner, allow_bf16);
}

/// Holds a runner to the reference at sizes for which there are kernels of their own.
///
/// # Panics
/// When a case is over its limit.
pub fn hold_large_sizes(runner: &mut Runner, arithmetic: Arithmetic) {
    hold_large(runner, limits(arithmetic));
}

/// What cases are allowed in an arithmetic.
fn limits(arithmetic: Arithmetic) -> fn(&str, &mut Case) {
    if arithmetic == Arithmetic::Fast { allow_bf16 } else { |_, _| {} }
}
