//! Whole golden models on the CUDA backend, its kernels run by the CPU: lowering, weights, states, paging, recorded decode
//! steps. Where no C++ compiler is this is reported as SKIPPED.

#[path = "../../../crates/monolens-engine/tests/common/mod.rs"]
mod common;

use common::*;
use monolens_cuda::{Arithmetic, CudaBackend, CudaOptions, Gemm};
use monolens_cuda_shim::ShimGpu;
use monolens_engine::{EngineError, EngineOptions, Settings};
use monolens_graph::{Backend, BackendError, DType};
use std::ops::ControlFlow;
use std::rc::Rc;

fn gpu(memory: u64) -> Option<Rc<ShimGpu>> {
    match ShimGpu::with_memory(memory) {
        Ok(gpu) => Some(gpu),
        Err(reason) => {
            println!("SKIPPED: {reason}");
            assert!(std::env::var_os("MONOLENS_REQUIRE_CUDA_SHIM").is_none(), "{reason}");
            None
        }
    }
}

fn cuda(arithmetic: Arithmetic, memory: u64) -> Option<Box<dyn Backend>> {
    let options = CudaOptions { arithmetic, ..CudaOptions::default() };
    Some(Box::new(CudaBackend::on(gpu(memory)?, &options)))
}

#[test]
fn golden_models_give_their_ids() {
    for folder in ["mono-v1", "mono-v15", "mono-v15-qkv", "internvl15"] {
        let Some(backend) = cuda(Arithmetic::Exact, u64::MAX) else { return };
        let golden = golden(folder);
        let mut engine = engine_on(backend, model(folder), small());
        let case = &golden["cases"]["single"];
        let prompt = case_prompt(&engine, case);
        let told = run(&mut engine, prompt, golden_settings()).unwrap();
        assert_eq!(told.ids, ids(&case["generated"]), "{folder}");
    }
}

#[test]
fn rounded_weights_give_their_ids() {
    for (folder, gemm) in [
        ("mono-v1/bf16", Gemm::Own),
        ("mono-v15/bf16", Gemm::Own),
        ("mono-v1/bf16", Gemm::Auto),
        ("mono-v15/bf16", Gemm::Auto),
    ] {
        let Some(gpu) = gpu(u64::MAX) else { return };
        let options = CudaOptions { arithmetic: Arithmetic::Exact, gemm, ..CudaOptions::default() };
        let backend = Box::new(CudaBackend::on(gpu.clone(), &options));
        let golden = golden(folder.split('/').next().unwrap());
        let variant = &golden["variants"]["bf16_weights"];
        let case = &golden["cases"][variant["case"].as_str().unwrap()];
        let options = EngineOptions { kv_dtype: Some(DType::F32), chunk: 256, ..small() };
        let mut engine = engine_on(backend, model(folder), options);
        let prompt = case_prompt(&engine, case);
        let told = run(&mut engine, prompt, golden_settings()).unwrap();
        assert_eq!(told.ids, ids(&variant["generated"]), "{folder}");
        assert_eq!(gpu.products() > 0, gemm == Gemm::Auto, "{folder}: {} products", gpu.products());
    }
}

#[test]
fn keys_and_values_in_8_bits_give_the_ids_of_the_cpu() {
    for arithmetic in [Arithmetic::Exact, Arithmetic::Fast] {
        let Some(backend) = cuda(arithmetic, u64::MAX) else { return };
        let golden = golden("mono-v1");
        let [on_cuda, on_cpu] = [backend, cpu()].map(|backend| {
            let options = EngineOptions { kv_dtype: Some(DType::I8), ..small() };
            let mut engine = engine_on(backend, model("mono-v1"), options);
            let prompt = case_prompt(&engine, &golden["cases"]["single"]);
            run(&mut engine, prompt, golden_settings()).unwrap().ids
        });
        assert_eq!(on_cuda, on_cpu, "{arithmetic:?}");
    }
}

#[test]
fn chunks_and_packed_batches_give_the_same_ids() {
    let Some(backend) = cuda(Arithmetic::Exact, u64::MAX) else { return };
    let golden = golden("mono-v1");
    let mut engine = engine_on(backend, model("mono-v1"), EngineOptions { chunk: 7, ..small() });
    let names = golden["batch"]["cases"].as_array().unwrap().iter();
    let prompts = names.map(|name| case_prompt(&engine, &golden["cases"][name.as_str().unwrap()]));
    let requests = prompts.map(|prompt| (prompt, golden_settings())).collect();
    let told = run_together(&mut engine, requests);
    let got: Vec<_> = told.iter().map(|t| t.ids.clone()).collect();
    let expected = golden["batch"]["generated"].as_array().unwrap();
    assert_eq!(got, expected.iter().map(ids).collect::<Vec<_>>());
}

#[test]
fn the_same_seed_gives_the_ids_of_the_cpu() {
    let Some(backend) = cuda(Arithmetic::Exact, u64::MAX) else { return };
    let golden = golden("mono-v1");
    let settings = Settings { temperature: 0.9, top_k: 20, top_p: 0.9, seed: Some(7), ..golden_settings() };
    let [on_cuda, on_cpu] = [backend, cpu()].map(|backend| {
        let options = EngineOptions { kv_dtype: Some(DType::F32), ..small() };
        let mut engine = engine_on(backend, model("mono-v1"), options);
        let prompt = case_prompt(&engine, &golden["cases"]["single"]);
        run(&mut engine, prompt, settings.clone()).unwrap().ids
    });
    assert_eq!(on_cuda, on_cpu);
}

#[test]
fn a_full_device_is_an_error_that_says_what_is_free_and_loading_and_dropping_leaks_nothing() {
    let Some(backend) = cuda(Arithmetic::Exact, 100 << 10) else { return };
    let (model, options) = (model("mono-v1"), small());
    let load = |backend| {
        let mut on_progress = |_: monolens_engine::Progress<'_>| ControlFlow::Continue(());
        let engine = monolens_engine::Engine::load(model.clone(), backend, options.clone(), &mut on_progress);
        pollster::block_on(engine)
    };
    let error = load(backend).err().expect("a model does not fit in 100 KiB");
    assert!(matches!(error, EngineError::TooLarge { .. }), "{error:?}");
    assert!(error.to_string().contains("are free"), "{error}");
    assert!(error.to_string().contains("what can fit is weights in 8 or 4 bits"), "{error}");
    // One device for many engines: what one leaves behind would fill it.
    let Ok(gpu) = ShimGpu::with_memory(64 << 20) else { return };
    for _ in 0..30 {
        drop(load(Box::new(CudaBackend::on(gpu.clone(), &CudaOptions::default()))).unwrap());
    }
}

#[test]
fn a_gpu_that_is_lost_is_an_error_that_says_so() {
    let Some(gpu) = gpu(u64::MAX) else { return };
    let golden = golden("mono-v1");
    let backend = Box::new(CudaBackend::on(gpu.clone(), &CudaOptions::default()));
    let mut engine = engine_on(backend, model("mono-v1"), small());
    let case = &golden["cases"]["single"];
    let prompt = case_prompt(&engine, case);
    run(&mut engine, prompt.clone(), golden_settings()).unwrap();
    gpu.lose();
    let error = run(&mut engine, prompt.clone(), golden_settings()).expect_err("nothing can run");
    assert!(matches!(error, EngineError::Backend(BackendError::DeviceLost { .. })), "{error:?}");
    assert!(error.to_string().contains("the device was lost: CPU in place of a GPU"), "{error}");
    // From then on the engine does not ask the device any more.
    let error = run(&mut engine, prompt, golden_settings()).expect_err("nothing can run");
    assert!(matches!(error, EngineError::NeedsRecovery), "{error:?}");
    // Dropping it is clean: nothing is asked of the device that it must do.
    drop(engine);
}
