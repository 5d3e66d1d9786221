//! The goldens through the engine on wgpu, a lost device included. Without an adapter the tests say SKIPPED, and fail
//! where `MONOLENS_REQUIRE_WGPU` is set.

mod common;

use common::*;
use monolens_engine::{EngineOptions, Progress};
use monolens_graph::Backend;
use monolens_wgpu::{WgpuBackend, WgpuOptions};
use std::ops::ControlFlow;

/// Any adapter, a software one if there is no other.
fn gpu() -> Option<Box<dyn Backend>> {
    match pollster::block_on(WgpuBackend::open(WgpuOptions {
        allow_software: true,
        ..WgpuOptions::default()
    })) {
        Ok(backend) => Some(Box::new(backend)),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            assert!(
                std::env::var_os("MONOLENS_REQUIRE_WGPU").is_none(),
                "MONOLENS_REQUIRE_WGPU is set: {error}"
            );
            None
        }
    }
}

#[test]
fn every_case_gives_its_ids() {
    for folder in ["mono-v1", "mono-v15", "mono-v15-qkv", "internvl15"] {
        let Some(backend) = gpu() else { return };
        let golden = golden(folder);
        // The goldens' keys and values are f32.
        let options = EngineOptions { kv_dtype: Some(monolens_graph::DType::F32), ..small() };
        let mut engine = engine_on(backend, model(folder), options);
        for (name, case) in golden["cases"].as_object().unwrap() {
            let prompt = case_prompt(&engine, case);
            let told = run(&mut engine, prompt, golden_settings()).unwrap();
            assert_eq!(told.ids, ids(&case["generated"]), "{folder} {name}");
        }
    }
}

#[test]
fn answers_go_on_where_they_were_on_another_device() {
    let Some(backend) = gpu() else { return };
    let golden = golden("mono-v1");
    let mut engine = engine_on(backend, model("mono-v1"), small());
    let names = ["single", "multi"];
    let cases = names.map(|name| &golden["cases"][name]);
    let requests = cases.map(|case| engine.submit(case_prompt(&engine, case), golden_settings()).unwrap());
    let mut told = [Told::default(), Told::default()];
    let mut moved = 0;
    while engine.is_busy() {
        for (id, event) in pollster::block_on(engine.step()).unwrap() {
            told[requests.iter().position(|&r| r == id).unwrap()].add(event.unwrap());
        }
        // Away to the CPU in the middle, and back.
        let other = match told[0].ids.len() {
            5 if moved == 0 => Some(cpu()),
            9 if moved == 1 => gpu(),
            _ => None,
        };
        if let Some(other) = other {
            let mut go_on = |_: Progress<'_>| ControlFlow::Continue(());
            pollster::block_on(engine.recover(other, &mut go_on)).unwrap();
            moved += 1;
        }
    }
    assert_eq!(moved, 2);
    for (told, case) in told.iter().zip(cases) {
        assert_eq!(told.ids, ids(&case["generated"]));
    }
}

#[test]
fn a_packed_batch_gives_what_the_padded_batch_gave() {
    let Some(backend) = gpu() else { return };
    let golden = golden("mono-v1");
    let mut engine = engine_on(backend, model("mono-v1"), EngineOptions { chunk: 50, ..small() });
    let names = golden["batch"]["cases"].as_array().unwrap().iter();
    let prompts = names.map(|name| case_prompt(&engine, &golden["cases"][name.as_str().unwrap()]));
    let requests = prompts.map(|prompt| (prompt, golden_settings())).collect();
    let told = run_together(&mut engine, requests);
    let expected = golden["batch"]["generated"].as_array().unwrap();
    for (told, expected) in told.iter().zip(expected) {
        assert_eq!(told.ids, ids(expected));
    }
}
