//! Weights, keys and values rounded to 8 and 4 bits: how far the logits move, and that backends agree.

mod common;

use common::*;
use monolens_engine::{Engine, EngineOptions, Inspect, Prompt, Quantization};
use monolens_graph::{Backend, DType};
use monolens_wgpu::{WgpuBackend, WgpuOptions};

fn wish(text: &str) -> Option<Quantization> {
    Some(text.parse().unwrap())
}

fn engine(backend: Box<dyn Backend>, weights: Option<Quantization>) -> Engine {
    let options = EngineOptions { weights, kv_dtype: Some(DType::F32), ..small() };
    engine_on(backend, model("mono-v15"), options)
}

/// The same with keys and values in another type.
fn engine_with_cache(backend: Box<dyn Backend>, kv: DType) -> Engine {
    engine_on(backend, model("mono-v15"), EngineOptions { kv_dtype: Some(kv), ..small() })
}

/// Any adapter, a software one if there is no other.
fn gpu() -> Option<Box<dyn Backend>> {
    let options = WgpuOptions { allow_software: true, ..WgpuOptions::default() };
    match pollster::block_on(WgpuBackend::open(options)) {
        Ok(backend) => Some(Box::new(backend)),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            let required = std::env::var_os("MONOLENS_REQUIRE_WGPU").is_some();
            assert!(!required, "MONOLENS_REQUIRE_WGPU is set: {error}");
            None
        }
    }
}

fn prompt(engine: &Engine) -> Prompt {
    case_prompt(engine, &golden("mono-v15")["cases"]["single"])
}

/// Logits of the prompt and of forced tokens after it, and the most likely ids.
fn logits(engine: &mut Engine) -> (Vec<f32>, Vec<u32>) {
    let forced: Vec<u32> = (0..127).map(|i| 300 + i * 37 % 200).collect();
    let request = Inspect { prompt: prompt(engine), forced, logits: true, ..Inspect::default() };
    let seen = pollster::block_on(engine.inspect(request)).unwrap();
    (seen.logits.unwrap().f32s(), seen.next_ids)
}

fn nmse(got: &[f32], expected: &[f32]) -> f64 {
    let pairs = || got.iter().zip(expected).map(|(&a, &b)| (f64::from(a), f64::from(b)));
    pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>() / pairs().map(|(_, b)| b * b).sum::<f64>()
}

#[test]
fn fewer_bits_take_less_memory_and_move_the_logits_more() {
    let mut stored = engine(cpu(), None);
    let (expected, _) = logits(&mut stored);
    let (mut errors, mut bytes) = (Vec::new(), vec![stored.memory().device.weights]);
    for weights in ["8bit-g32", "4bit-g32"] {
        let mut rounded = engine(cpu(), wish(weights));
        errors.push(nmse(&logits(&mut rounded).0, &expected));
        bytes.push(rounded.memory().device.weights);
    }
    assert!(errors[0] > 0.0 && errors[0] < 1e-3, "8 bit: {errors:?}");
    assert!(errors[1] > errors[0] && errors[1] < 0.2, "4 bit: {errors:?}");
    assert!(bytes[1] * 2 < bytes[0] && bytes[2] < bytes[1], "{bytes:?}");
}

/// How many ids are alike.
fn assert_agreement(what: &str, ids: &[u32], others: &[u32]) {
    let same = ids.iter().zip(others).filter(|(a, b)| a == b).count();
    assert!(same * 100 >= ids.len() * 99, "{what}: {same} of {}", ids.len());
}

#[test]
fn backends_agree_on_rounded_weights() {
    for weights in ["8bit", "4bit"] {
        let Some(gpu) = gpu() else { return };
        let (on_cpu, ids) = logits(&mut engine(cpu(), wish(weights)));
        let (on_gpu, other_ids) = logits(&mut engine(gpu, wish(weights)));
        let error = nmse(&on_gpu, &on_cpu);
        assert!(error < 1e-6, "{weights}: {error}");
        assert_agreement(weights, &ids, &other_ids);
    }
}

#[test]
fn a_cache_in_8_bits_takes_less_memory_and_moves_little() {
    let mut errors = Vec::new();
    let mut wide = engine_with_cache(cpu(), DType::F32);
    let (expected, _) = logits(&mut wide);
    for kv in [DType::BF16, DType::I8] {
        let mut narrow = engine_with_cache(cpu(), kv);
        errors.push(nmse(&logits(&mut narrow).0, &expected));
        let (narrow, wide) = (narrow.memory(), wide.memory());
        // A head of 16 elements: 64 bytes in f32; 32 in bf16; 16 and a factor of 4 in 8 bits.
        let share = if kv == DType::I8 { 20 } else { 32 };
        assert_eq!(narrow.kv_bytes_per_token * 64, wide.kv_bytes_per_token * share, "{kv}");
        assert!(narrow.device.states < wide.device.states, "{kv}");
    }
    assert!(errors[0] < errors[1] && errors[1] < 1e-3, "bf16, 8 bit: {errors:?}");
}

#[test]
fn what_is_seen_inside_a_cache_in_8_bits_is_near_to_what_is_in_it() {
    let taps = ["layer0.k_cache", "layer0.v_cache", "layer1.k_cache", "attention_map.1"].map(String::from);
    let [exact, rounded] = [DType::F32, DType::I8].map(|kv| {
        let mut engine = engine_with_cache(cpu(), kv);
        let request = Inspect { prompt: prompt(&engine), taps: taps.to_vec(), ..Inspect::default() };
        pollster::block_on(engine.inspect(request)).unwrap().tensors
    });
    for tap in taps {
        assert_eq!(rounded[&tap].shape, exact[&tap].shape, "{tap}");
        let error = nmse(&rounded[&tap].f32s(), &exact[&tap].f32s());
        assert!(error > 0.0 && error < 1e-3, "{tap}: {error}");
    }
}

#[test]
fn a_prompt_that_begins_alike_takes_over_pages_in_8_bits() {
    let mut engine = engine_with_cache(cpu(), DType::I8);
    let told = [(), ()].map(|()| {
        let prompt = prompt(&engine);
        run(&mut engine, prompt, golden_settings()).unwrap()
    });
    assert_eq!(told[0].ids, told[1].ids);
    assert!(told[0].stats().reused_tokens == 0 && told[1].stats().reused_tokens > 0);
}

#[test]
fn backends_agree_on_a_cache_in_8_bits() {
    let Some(gpu) = gpu() else { return };
    let (on_cpu, ids) = logits(&mut engine_with_cache(cpu(), DType::I8));
    let (on_gpu, other_ids) = logits(&mut engine_with_cache(gpu, DType::I8));
    // Elements between two integers may go to either.
    let error = nmse(&on_gpu, &on_cpu);
    assert!(error < 1e-4, "{error}");
    assert_agreement("cache", &ids, &other_ids);
}
