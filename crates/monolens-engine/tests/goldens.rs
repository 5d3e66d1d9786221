//! Greedy ids of the golden models on the CPU backend.

mod common;

use common::*;
use monolens_engine::EngineOptions;
use monolens_models::config::{AttentionExperts, RopeScaling};

const FOLDERS: [&str; 4] = ["mono-v1", "mono-v15", "mono-v15-qkv", "internvl15"];

#[test]
fn every_case_gives_its_ids_and_text() {
    for folder in FOLDERS {
        let golden = golden(folder);
        let mut engine = engine_on(cpu(), model(folder), small());
        for (name, case) in golden["cases"].as_object().unwrap() {
            let prompt = case_prompt(&engine, case);
            assert_eq!(prompt.ids.len() as u64, case["n_tokens"].as_u64().unwrap());
            let told = run(&mut engine, prompt, golden_settings()).unwrap();
            assert_eq!(told.ids, ids(&case["generated"]), "{folder} {name}");
            let official = engine.model().tokenizer().decode_official(&told.ids, true);
            assert_eq!(official, case["generated_text_skip_special"].as_str().unwrap());
        }
    }
}

#[test]
fn rounded_and_sharded_weights_give_their_ids() {
    for folder in ["mono-v1/bf16", "mono-v1/sharded", "mono-v15/bf16"] {
        let golden = golden(folder.split('/').next().unwrap());
        let variant = &golden["variants"]["bf16_weights"];
        let case = &golden["cases"][variant["case"].as_str().unwrap()];
        // The goldens' arithmetic, keys and values included, is f32.
        let options = EngineOptions { kv_dtype: Some(monolens_graph::DType::F32), ..small() };
        let mut engine = engine_on(cpu(), model(folder), options);
        let prompt = case_prompt(&engine, case);
        let told = run(&mut engine, prompt, golden_settings()).unwrap();
        assert_eq!(told.ids, ids(&variant["generated"]), "{folder}");
    }
}

#[test]
fn chained_output_projections_give_their_ids() {
    let golden = golden("mono-v15");
    let chained = model_with("mono-v15", |config| {
        config.decoder.attention_experts = Some(AttentionExperts::QkvoChained);
    });
    let mut engine = engine_on(cpu(), chained, small());
    let prompt = case_prompt(&engine, &golden["cases"]["single"]);
    let told = run(&mut engine, prompt, golden_settings()).unwrap();
    assert_eq!(told.ids, ids(&golden["variants"]["chained"]["generated"]));
}

#[test]
fn stretched_rotations_give_their_ids_whatever_the_chunks() {
    let golden = golden("mono-v1");
    for chunk in [16, 512] {
        for variant in ["ntk_text", "ntk_single"] {
            let stretched = model_with("mono-v1", |config| {
                config.decoder.max_position_embeddings = 64;
                config.decoder.rope_scaling = RopeScaling::Dynamic { factor: 2.0 };
            });
            let mut engine = engine_on(cpu(), stretched, EngineOptions { chunk, ..small() });
            let variant = &golden["variants"][variant];
            let case = &golden["cases"][variant["case"].as_str().unwrap()];
            let prompt = case_prompt(&engine, case);
            let first = run(&mut engine, prompt.clone(), golden_settings()).unwrap();
            assert_eq!(first.ids, ids(&variant["generated"]));
            // Again: the prompt's own pages may be reused, they were rotated alike.
            let second = run(&mut engine, prompt, golden_settings()).unwrap();
            assert_eq!(second.ids, first.ids);
            assert!(second.stats().reused_tokens > 0);
        }
    }
}

#[test]
fn a_packed_batch_gives_what_the_padded_batch_gave() {
    let golden = golden("mono-v1");
    for chunk in [7, 512] {
        let mut engine = engine_on(cpu(), model("mono-v1"), EngineOptions { chunk, ..small() });
        let names = golden["batch"]["cases"].as_array().unwrap().iter();
        let prompts = names.map(|name| case_prompt(&engine, &golden["cases"][name.as_str().unwrap()]));
        let requests = prompts.map(|prompt| (prompt, golden_settings())).collect();
        let told = run_together(&mut engine, requests);
        let got: Vec<_> = told.iter().map(|t| t.ids.clone()).collect();
        let expected = golden["batch"]["generated"].as_array().unwrap();
        assert_eq!(got, expected.iter().map(ids).collect::<Vec<_>>());
    }
}

#[test]
fn chunks_of_any_size_give_the_same_ids() {
    let golden = golden("mono-v1");
    for chunk in [1, 7, 64, 512] {
        let options = EngineOptions { chunk, ..small() };
        let mut engine = engine_on(cpu(), model("mono-v1"), options);
        let case = &golden["cases"]["multi"];
        let prompt = case_prompt(&engine, case);
        let told = run(&mut engine, prompt, golden_settings()).unwrap();
        assert_eq!(told.ids, ids(&case["generated"]), "chunks of {chunk}");
    }
}
