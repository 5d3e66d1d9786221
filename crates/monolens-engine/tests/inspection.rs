//! What is inside: every tensor of the golden files, on the CPU backend.

mod common;

use common::*;
use monolens_engine::{EngineError, EngineOptions, Inspect};
use monolens_models::checkpoint::{Checkpoint, TensorSource};

fn nmse(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let (mut error, mut power) = (0.0, 0.0);
    for (&a, &b) in got.iter().zip(expected) {
        error += f64::from(a - b).powi(2);
        power += f64::from(b).powi(2);
    }
    error / power
}

#[test]
fn hidden_states_caches_maps_and_logits_are_those_of_the_reference() {
    for folder in ["mono-v1", "mono-v15", "mono-v15-qkv", "internvl15"] {
        for chunk in [24, 512] {
            let golden = golden(folder);
            let tensors =
                Checkpoint::open_file(&golden_path(&format!("{folder}/golden.safetensors"))).unwrap();
            // The reference's keys and values are f32, whatever the weights.
            let options = EngineOptions { chunk, kv_dtype: Some(monolens_graph::DType::F32), ..small() };
            let mut engine = engine_on(cpu(), model(folder), options);
            let layers = engine.model().config().decoder.num_layers;
            let prompt = case_prompt(&engine, &golden["cases"]["single"]);
            let n = prompt.ids.len();
            let mut taps: Vec<String> = (0..=layers).map(|i| format!("hidden.{i}")).collect();
            let plain =
                ["hidden_final_norm", "vit_embeds", "pixel_shuffled", "layer0.k_cache", "layer0.v_cache"];
            taps.extend(plain.map(String::from));
            taps.extend((0..layers).map(|i| format!("attention_map.{i}")));
            let request = Inspect { prompt, taps: taps.clone(), logits: true, ..Inspect::default() };
            let seen = pollster::block_on(engine.inspect(request)).unwrap();
            let mut compared = 0;
            for name in &taps {
                let Ok(expected) = tensors.values(&format!("single.{name}")) else { continue };
                let error = nmse(&seen.tensors[name].f32s(), &expected);
                assert!(error < 1e-8, "{folder} {name}: {error}");
                compared += 1;
            }
            assert!(compared >= layers + 4, "{folder}: {compared}");
            if let Ok(maps) = tensors.values("single.attn_mean_heads") {
                for (layer, expected) in maps.chunks_exact(n * n).enumerate() {
                    let map = &seen.tensors[&format!("attention_map.{layer}")];
                    assert_eq!(map.shape, [n, n]);
                    assert!(nmse(&map.f32s(), expected) < 1e-8, "{folder} layer {layer}");
                }
            }
            let logits = seen.logits.unwrap().f32s();
            let (name, rows) = match tensors.values("single.logits") {
                Ok(_) => ("single.logits", n),
                Err(_) => ("single.logits_last8", 8),
            };
            let expected = tensors.values(name).unwrap();
            assert!(nmse(&logits[logits.len() - expected.len()..], &expected) < 1e-8, "{folder} {rows}");
            assert_eq!(seen.next_ids.len(), n);
        }
    }
}

#[test]
fn forced_tokens_give_the_ids_that_were_generated() {
    let golden = golden("mono-v1");
    let mut engine = engine_on(cpu(), model("mono-v1"), small());
    for (name, case) in golden["cases"].as_object().unwrap() {
        let prompt = case_prompt(&engine, case);
        let (n, ids) = (prompt.ids.len(), ids(&case["generated"]));
        let request =
            Inspect { prompt, forced: ids.clone(), rows: Some(n - 1..n + 15), ..Inspect::default() };
        let seen = pollster::block_on(engine.inspect(request)).unwrap();
        assert_eq!((seen.first_row, seen.next_ids), (n - 1, ids), "{name}");
    }
}

#[test]
fn rows_of_a_prompt_that_was_run_come_from_the_prefix_cache() {
    let golden = golden("mono-v1");
    let mut engine = engine_on(cpu(), model("mono-v1"), small());
    let case = &golden["cases"]["single"];
    let prompt = case_prompt(&engine, case);
    let n = prompt.ids.len();
    let request = |rows| Inspect {
        prompt: prompt.clone(),
        forced: ids(&case["generated"]),
        taps: vec!["attention_map.1".into(), "hidden.3".into()],
        rows: Some(rows),
        ..Inspect::default()
    };
    let whole = pollster::block_on(engine.inspect(request(0..n + 16))).unwrap();
    run(&mut engine, prompt.clone(), golden_settings()).unwrap();
    let tiles = engine.stats().tiles_encoded;
    let part = pollster::block_on(engine.inspect(request(n..n + 16))).unwrap();
    assert_eq!(engine.stats().tiles_encoded, tiles, "no image work");
    for name in ["attention_map.1", "hidden.3"] {
        let (whole, part) = (&whole.tensors[name], &part.tensors[name]);
        let width = whole.shape[1];
        assert_eq!(part.shape, [16, width]);
        assert!(nmse(&part.f32s(), &whole.f32s()[n * width..]) < 1e-10, "{name}");
    }
}

#[test]
fn attention_over_an_image_has_its_tiles_side_by_side() {
    let golden = golden("mono-v1");
    let mut engine = engine_on(cpu(), model("mono-v1"), small());
    let case = &golden["cases"]["single"];
    let (prompt, answer) = (case_prompt(&engine, case), ids(&case["generated"]));
    let (n, layers) = (prompt.ids.len(), engine.model().config().decoder.num_layers);
    let first = prompt.ids.iter().position(|&id| id == 505).unwrap();
    let request = Inspect {
        prompt: prompt.clone(),
        forced: answer.clone(),
        taps: vec!["attention_map.1".into()],
        ..Inspect::default()
    };
    let whole = pollster::block_on(engine.inspect(request)).unwrap().tensors["attention_map.1"].clone();
    let (width, whole) = (whole.shape[1], whole.f32s());
    let seen = pollster::block_on(engine.image_attention(prompt.clone(), answer.clone(), 2..4)).unwrap();
    let [map] = &seen.images[..] else { panic!("one image") };
    // Two tiles of 4 x 4 visual tokens beside one another, and a thumbnail.
    assert_eq!((seen.layers, map.columns, map.rows, map.values.len()), (layers, 8, 4, layers * 32));
    for row in 0..4 {
        for column in 0..8 {
            let token = first + column / 4 * 16 + row * 4 + column % 4;
            let mean = (whole[(n + 1) * width + token] + whole[(n + 2) * width + token]) / 2.0;
            let got = map.values[32 + row * 8 + column];
            assert!((got - mean).abs() < 1e-6, "{row} {column}: {got} {mean}");
        }
    }
    for wrong in [0..0, 3..17] {
        assert!(pollster::block_on(engine.image_attention(prompt.clone(), answer.clone(), wrong)).is_err());
    }
}

#[test]
fn an_inspection_leaves_running_answers_as_they_are() {
    let golden = golden("mono-v1");
    let mut engine = engine_on(cpu(), model("mono-v1"), small());
    let case = &golden["cases"]["multi"];
    let prompt = case_prompt(&engine, case);
    let id = engine.submit(prompt.clone(), golden_settings()).unwrap();
    let mut told = Told::default();
    while let Some(event) = pollster::block_on(engine.next_event(id)).unwrap() {
        told.add(event);
        if told.ids.len() % 5 == 2 {
            let other = Inspect { prompt: prompt.clone(), ..Inspect::default() };
            pollster::block_on(engine.inspect(other)).unwrap();
        }
    }
    assert_eq!(told.ids, ids(&case["generated"]));
    assert_eq!(engine.memory().kv_tokens_used, 0);
}

#[test]
fn a_tap_that_is_not_there_is_named_with_those_that_are() {
    let golden = golden("mono-v1");
    let mut engine = engine_on(cpu(), model("mono-v1"), small());
    let prompt = case_prompt(&engine, &golden["cases"]["text"]);
    let request = Inspect { prompt, taps: vec!["hidden.9".into()], ..Inspect::default() };
    let error = pollster::block_on(engine.inspect(request)).unwrap_err();
    assert!(matches!(error, EngineError::UnknownTap { .. }));
    assert!(error.to_string().contains("hidden_final_norm"), "{error}");
}
