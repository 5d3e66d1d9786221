//! The CUDA backend as a [`Runner`]: on a GPU, and with its kernels run by the CPU.

use crate::compare::limit;
use crate::parity::hold_within;
use crate::run::Runner;
use monolens_cuda::{Arithmetic, CudaBackend, CudaOptions};
use monolens_cuda_shim::ShimGpu;
use monolens_graph::plan::Fusions;

/// Cases an operator on the CPU in place of a GPU, which is slow.
const SHIM_CASES: usize = 24;

/// A runner on the CUDA backend with its kernels run by the CPU; says SKIPPED where there can be none.
///
/// # Panics
/// When there can be none but `MONOLENS_REQUIRE_CUDA_SHIM` is set.
pub fn cuda_shim(arithmetic: Arithmetic, fusions: Fusions) -> Option<Runner> {
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
pub fn cuda(arithmetic: Arithmetic, fusions: Fusions) -> Option<Runner> {
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

/// Holds a runner in [`Arithmetic::Fast`] to the reference: projections and attention have the limit of bf16 products.
///
/// # Panics
/// When a case is over its limit.
pub fn hold_fast(runner: &mut Runner) {
    hold_within(runner, |operator, case| {
        let rounded = ["linear", "gate_up", "mmoe", "qkv_rope", "attention", "tile_attention", "patch_embed"];
        if rounded.iter().any(|name| operator.starts_with(name)) && operator != "attention_map" {
            case.limit = case.limit.max(limit::BF16_MATMUL);
        }
    });
}
