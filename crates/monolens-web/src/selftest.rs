//! The self-test: a small model of the official code, whose greedy ids are known, on this very device.

use crate::border::{self, SelfTest, SelfTestCase};
use crate::failure::Failure;
use crate::files::{FileReader, Files};
use crate::load::{self, Listener};
use crate::{event_loop, model};
use monolens_engine::{EngineOptions, Event, Images, Prompt, Settings, TileOptions};
use monolens_graph::{Backend, DType};
use monolens_models::image::DecodeOptions;
use serde::Deserialize;
use std::rc::Rc;

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

/// Runs the small model on a device: see `WasmEngine.selfTest` in `contract.ts`.
pub(crate) async fn run(
    files: Files,
    backend: Box<dyn Backend>,
    device: String,
) -> Result<SelfTest, Failure> {
    let json = needed(&files, "selftest.json").await?;
    let json = String::from_utf8_lossy(&json).into_owned();
    let value = js_sys::JSON::parse(&json).map_err(|error| Failure::of_files("selftest.json", &error))?;
    let description: Description = border::from_js("selftest.json", value)?;
    // The official code's keys and values are f32.
    let engine_options = EngineOptions { kv_dtype: Some(DType::F32), chunk: 64, ..EngineOptions::default() };
    let (model, layout) = model::open(&files, &mut |_, _, _| Ok(())).await?;
    let reader = Rc::new(FileReader::new(files.clone(), layout));
    let mut engine = load::engine(&model, &reader, backend, engine_options, &Listener::nobody()).await?;
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
            // Somebody may be asking the loaded model meanwhile.
            event_loop::turn().await;
            if let Event::Token { id, .. } = event {
                got.push(id);
            }
        }
        cases.push(SelfTestCase { name: case.name, expected: case.generated, got });
    }
    let ok = !cases.is_empty() && cases.iter().all(|case| case.expected == case.got);
    Ok(SelfTest { ok, device, cases })
}

async fn needed(files: &Files, name: &str) -> Result<Vec<u8>, Failure> {
    let missing = || Failure::new("bad-model", format!("the self-test has no {name}"));
    files.whole(name, MOST).await?.ok_or_else(missing)
}
