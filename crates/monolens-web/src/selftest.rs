//! The self-test: a small model of the official code, whose greedy ids are known, on this very device.

use crate::border::{self, SelfTest, SelfTestCase};
use crate::failure::Failure;
use crate::files::{Files, ModelFiles};
use crate::load::{Listener, Loaded, Options};
use crate::panics;
use js_sys::Promise;
use monolens_engine::{EngineOptions, Event, Images, Prompt, Settings, TileOptions};
use monolens_graph::DType;
use monolens_models::image::DecodeOptions;
use serde::Deserialize;
use std::rc::Rc;
use wasm_bindgen::prelude::*;

/// Longest description and longest image, in bytes.
const MOST: u64 = 4 << 20;

/// `selftest.json`.
#[derive(Deserialize)]
struct Description {
    cases: Vec<Case>,
}

/// A prompt and the official code's greedy answer.
#[derive(Deserialize)]
struct Case {
    name: String,
    /// The prompt's text, images as `<image>`.
    prompt: String,
    images: Vec<CaseImage>,
    generated: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaseImage {
    file: String,
    max_tiles: usize,
}

/// Runs the small model: see `WasmModule.selfTest` in `contract.ts`.
#[wasm_bindgen(js_name = selfTest, unchecked_return_type = "Promise<SelfTest>")]
pub fn self_test(files: ModelFiles, options: Options) -> Promise {
    panics::promise(async move {
        let options = border::from_js("options", options.into())?;
        border::to_js(&run(Files(Rc::new(files)), options).await?)
    })
}

async fn run(files: Files, options: border::LoadOptions) -> Result<SelfTest, Failure> {
    let json = needed(&files, "selftest.json").await?;
    let json = String::from_utf8_lossy(&json).into_owned();
    let value = js_sys::JSON::parse(&json).map_err(|error| Failure::of_files("selftest.json", &error))?;
    let description: Description = border::from_js("selftest.json", value)?;
    let listener = Listener::nobody();
    // The official code's keys and values are f32.
    let engine_options = EngineOptions { kv_dtype: Some(DType::F32), chunk: 64, ..EngineOptions::default() };
    let Loaded { mut engine, model, device, .. } =
        Loaded::new(files.clone(), options, engine_options, &listener).await?;
    let mut cases = Vec::with_capacity(description.cases.len());
    for case in description.cases {
        let mut images = Vec::new();
        for image in &case.images {
            let bytes = needed(&files, &image.file).await?;
            let tiles = TileOptions { max_tiles: Some(image.max_tiles), ..TileOptions::default() };
            images.extend(Images::new(&model, &[&bytes], &tiles, &DecodeOptions::default())?.images);
        }
        let prompt = Prompt::of_text(&model, case.prompt, images)?;
        let settings = Settings { use_model_stop_ids: false, ..Settings::greedy(case.generated.len()) };
        let id = engine.submit(prompt, settings)?;
        let mut got = Vec::with_capacity(case.generated.len());
        while let Some(event) = engine.next_event(id).await? {
            if let Event::Token { id, .. } = event {
                got.push(id);
            }
        }
        cases.push(SelfTestCase { name: case.name, expected: case.generated, got });
    }
    let ok = !cases.is_empty() && cases.iter().all(|case| case.expected == case.got);
    Ok(SelfTest { ok, device: device.name, cases })
}

async fn needed(files: &Files, name: &str) -> Result<Vec<u8>, Failure> {
    let missing = || Failure::new("bad-model", format!("the self-test has no {name}"));
    files.whole(name, MOST).await?.ok_or_else(missing)
}
