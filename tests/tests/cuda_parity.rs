//! The CUDA backend against the CPU reference: its kernels run by the CPU everywhere, and on a GPU where there is one.
//!
//! Where no C++ compiler is the first are reported as SKIPPED, where no GPU is the second; with
//! `MONOLENS_REQUIRE_CUDA_SHIM=1` (as CI sets it) and `MONOLENS_REQUIRE_CUDA=1` that is a failure.

use monolens_cuda::gpu::Gpu;
use monolens_cuda::{Arithmetic, CudaBackend, CudaOptions, Gemm, driver};
use monolens_cuda_shim::ShimGpu;
use monolens_graph::plan::Fusions;
use monolens_parity::cases;
use monolens_parity::run::Runner;
use monolens_tests::cuda::{
    cuda, cuda_shim, cuda_with_products, hold_fast, hold_large_sizes, hold_products, shim, shim_with_products,
};
use monolens_tests::parity::{cases_of, hold_to_reference};
use std::rc::Rc;

#[test]
fn kernels_on_the_cpu_equal_the_reference() {
    cuda_shim(Arithmetic::Exact, Fusions::ALL).iter_mut().for_each(hold_to_reference);
}

#[test]
fn kernels_on_the_cpu_without_fusions_equal_the_reference() {
    let runner = cuda_shim(Arithmetic::Exact, Fusions::NONE).map(|runner| runner.with_cases(8));
    runner.into_iter().for_each(|mut runner| hold_to_reference(&mut runner));
}

#[test]
fn fast_kernels_on_the_cpu_stay_within_bf16() {
    cuda_shim(Arithmetic::Fast, Fusions::ALL).iter_mut().for_each(hold_fast);
}

/// Above 256 rows a block takes two routing blocks; far into a sequence keys are split: most of what a real prompt is.
#[test]
fn kernels_for_large_sizes_on_the_cpu_equal_the_reference() {
    for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
        let runner = cuda_shim(arithmetic, Fusions::ALL).map(|runner| runner.with_cases(5));
        runner.into_iter().for_each(|mut runner| hold_large_sizes(&mut runner, arithmetic));
    }
}

/// Packing, strides, bias, residual and what follows the products, which are computed plainly.
#[test]
fn products_on_the_cpu_equal_the_reference() {
    let Some(gpu) = shim() else { return };
    for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
        let before = gpu.products();
        hold_products(&mut shim_with_products(gpu.clone(), arithmetic), arithmetic);
        // Six operators, four runs a case, gate_up with two matrices: none was left to another kernel.
        let cases = cases_of(&shim_with_products(gpu.clone(), arithmetic)) as u64;
        let terms = if arithmetic == Arithmetic::Exact { 3 } else { 1 };
        assert_eq!(gpu.products() - before, (6 + 1) * 4 * cases * terms, "{arithmetic:?}");
    }
    let before = gpu.products();
    let backend = CudaBackend::on(gpu.clone(), &CudaOptions { gemm: Gemm::Own, ..CudaOptions::default() });
    let runner = &mut Runner::new(Box::new(backend), Fusions::ALL).with_cases(1);
    hold_products(runner, Arithmetic::Fast);
    assert_eq!(gpu.products(), before, "the library was not to be asked");
}

#[test]
fn products_of_cublaslt_on_a_gpu_equal_the_reference() {
    for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
        cuda_with_products(arithmetic).iter_mut().for_each(|runner| hold_products(runner, arithmetic));
    }
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
    cuda(Arithmetic::Fast, Fusions::ALL).iter_mut().for_each(hold_fast);
}

#[test]
fn a_gpu_equals_the_reference_at_large_sizes() {
    for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
        cuda(arithmetic, Fusions::ALL).iter_mut().for_each(|runner| hold_large_sizes(runner, arithmetic));
    }
}

/// Loads, runs and drops a backend so many times; gives what is free before and after.
fn load_and_drop(gpu: &Rc<dyn Gpu>, times: usize) -> [u64; 2] {
    let (_, draw) =
        cases::all().into_iter().find(|(name, _)| *name == "gate_up").expect("an operator with experts");
    let case = draw(3);
    let once = || {
        let backend = CudaBackend::on(Rc::clone(gpu), &CudaOptions::default());
        pollster::block_on(Runner::new(Box::new(backend), Fusions::ALL).run(&case)).expect("a run")
    };
    // Kernels are loaded once for a device.
    once();
    let before = gpu.free_memory();
    (0..times).for_each(|_| drop(once()));
    [before, gpu.free_memory()]
}

#[test]
fn loading_and_dropping_leaks_no_memory() {
    if let Ok(gpu) = ShimGpu::with_memory(1 << 30) {
        let gpu: Rc<dyn Gpu> = gpu;
        let [before, after] = load_and_drop(&gpu, 20);
        assert!(before > 0);
        assert_eq!(before, after);
    }
}

#[test]
fn a_thousand_loads_leave_a_gpu_as_it_was() {
    match driver::open(None) {
        Ok(gpu) => {
            let [before, after] = load_and_drop(&gpu, 1000);
            // The driver may keep a little for itself.
            assert!(before.abs_diff(after) <= 32 << 20, "{before} bytes were free, then {after}");
        }
        Err(error) => {
            println!("SKIPPED: CUDA: {error}");
            assert!(std::env::var_os("MONOLENS_REQUIRE_CUDA").is_none(), "{error}");
        }
    }
}
