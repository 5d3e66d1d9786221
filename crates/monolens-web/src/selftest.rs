//! The self-test: a small model of the official code, whose greedy ids are known, on this very device.

use crate::border::{self, SelfTest, SelfTestCase};
use crate::failure::Failure;
use crate::files::{FileReader, Files};
use crate::load::{self, Listener};
use crate::{event_loop, model};
use monolens_engine::selftest::golden::Golden;
use monolens_graph::Backend;
use std::rc::Rc;

/// Longest description and longest image, in bytes.
const MOST: u64 = 4 << 20;

/// Runs the small model on a device: see `WasmEngine.selfTest` in `contract.ts`.
pub(crate) async fn run(
    files: Files,
    backend: Box<dyn Backend>,
    device: String,
) -> Result<SelfTest, Failure> {
    let json = needed(&files, "selftest.json").await?;
    let json = String::from_utf8_lossy(&json).into_owned();
    let value = js_sys::JSON::parse(&json).map_err(|error| Failure::of_files("selftest.json", &error))?;
    let golden: Golden = border::from_js("selftest.json", value)?;
    let (model, layout) = model::open(&files, &mut |_, _, _| Ok(())).await?;
    let reader = Rc::new(FileReader::new(files.clone(), layout));
    let mut engine = load::engine(&model, &reader, backend, Golden::options(), &Listener::nobody()).await?;
    let mut cases = Vec::with_capacity(golden.cases.len());
    for case in golden.cases {
        let mut images = Vec::new();
        for image in &case.images {
            images.push(needed(&files, &image.file).await?);
        }
        // Somebody may be asking the loaded model meanwhile.
        let got = case.answer(&mut engine, &images, async || event_loop::turn().await).await?;
        cases.push(SelfTestCase { name: case.name, expected: case.generated, got });
    }
    let ok = !cases.is_empty() && cases.iter().all(|case| case.expected == case.got);
    Ok(SelfTest { ok, device, cases })
}

async fn needed(files: &Files, name: &str) -> Result<Vec<u8>, Failure> {
    let missing = || Failure::new("bad-model", format!("the self-test has no {name}"));
    files.whole(name, MOST).await?.ok_or_else(missing)
}
