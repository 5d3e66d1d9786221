//! Weights rounded to 8 and 4 bits while they are loaded: how far the logits move, and that backends agree.

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

#[test]
fn backends_agree_on_rounded_weights() {
    let options = WgpuOptions { allow_software: true, ..WgpuOptions::default() };
    for weights in ["8bit", "4bit"] {
        let gpu = match pollster::block_on(WgpuBackend::open(options.clone())) {
            Ok(backend) => Box::new(backend),
            Err(error) => {
                eprintln!("SKIPPED: {error}");
                assert!(
                    std::env::var_os("MONOLENS_REQUIRE_WGPU").is_none(),
                    "MONOLENS_REQUIRE_WGPU is set: {error}"
                );
                return;
            }
        };
        let (on_cpu, ids) = logits(&mut engine(cpu(), wish(weights)));
        let (on_gpu, other_ids) = logits(&mut engine(gpu, wish(weights)));
        let error = nmse(&on_gpu, &on_cpu);
        assert!(error < 1e-6, "{weights}: {error}");
        let same = ids.iter().zip(&other_ids).filter(|(a, b)| a == b).count();
        assert!(same * 100 >= ids.len() * 99, "{weights}: {same} of {}", ids.len());
    }
}
