//! The golden set of the repository, through the same code as `monolens verify`.

use monolens_cli::args::{BackendArg, DeviceArgs};
use monolens_cli::verify::report::{Report, Verdict};
use monolens_cli::verify::{Request, verify};
use std::path::{Path, PathBuf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden")
}

fn run(folder: PathBuf, device: DeviceArgs) -> Report {
    let request = Request { folder, device, ..Request::default() };
    verify(&request, &mut |_| {}).unwrap()
}

fn judge(report: &Report) {
    let over: Vec<_> = report.rows.iter().filter(|r| r.verdict == Verdict::Over).collect();
    assert!(report.passed(), "{}\n{over:#?}", report.summary());
    // A pass must have looked at every folder and kind of thing.
    let has = |folder: &str, case: &str, what: &str| {
        let found = report.rows.iter().any(|r| {
            r.folder == folder
                && r.case.starts_with(case)
                && r.what.starts_with(what)
                && r.verdict == Verdict::Ok
        });
        assert!(found, "no row {folder} {case} {what}");
    };
    has("preprocess", "grids", "grid");
    has("preprocess", "wide_1024x300.jpg|max12|S448", "u8_tiles_sha256");
    has("tiny-tokenizer", "texts", "decoded_skip_special");
    for folder in ["mono-v1", "mono-v15", "mono-v15-qkv", "internvl15"] {
        for what in ["tiles_u8", "prompt", "input_ids", "vit_embeds", "hidden.1", "attn_mean_heads"] {
            has(folder, "single", what);
        }
        for what in ["layer0.k_cache", "hidden_final_norm", "logits", "step_logits", "generated"] {
            has(folder, "single", what);
        }
        has(folder, "bf16_run", "logits_last");
        has(folder, "chunked", "single.generated");
    }
    has("internvl15", "single", "vision_hidden.2");
    has("mono-v1", "round2", "generated");
    has("mono-v1", "batch", "generated (multi, packed)");
    has("mono-v1", "ntk_text", "step_logits");
    has("mono-v1", "ntk_single", "generated");
    has("mono-v1", "bf16_weights (sharded/)", "generated");
    has("mono-v15", "chained", "logits_last8");
    has("internvl15", "bf16_weights", "generated");
}

#[test]
fn the_golden_set_is_met_on_the_cpu() {
    judge(&run(golden(), DeviceArgs { backend: BackendArg::Cpu, ..DeviceArgs::default() }));
}

/// On the adapter that `MONOLENS_TEST_ADAPTER` names, or on a real GPU, where there is one.
#[test]
fn the_golden_set_is_met_on_wgpu() {
    let adapters = monolens_cli::machine::adapters();
    let named = std::env::var("MONOLENS_TEST_ADAPTER").ok();
    let usable = adapters.iter().filter(|a| a.unusable.is_none());
    let chosen = named.or_else(|| usable.min_by_key(|a| a.is_software).map(|a| a.index.to_string()));
    let Some(device) = chosen else {
        eprintln!("skipped: no adapter on this machine");
        return;
    };
    let device = DeviceArgs { backend: BackendArg::Wgpu, device: Some(device), ..DeviceArgs::default() };
    judge(&run(golden(), device));
}

#[test]
fn a_wrong_golden_value_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let source = golden().join("mono-v15-qkv");
    for entry in std::fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let file = folder.path().join("golden.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let wrong =
        text.replace("\"n_tokens\": 100", "\"n_tokens\": 999").replace("Please describe", "Please, describe");
    std::fs::write(&file, wrong).unwrap();
    let request = Request {
        folder: folder.path().to_owned(),
        images: Some(golden().join("images")),
        device: DeviceArgs { backend: BackendArg::Cpu, ..DeviceArgs::default() },
        ..Request::default()
    };
    let report = verify(&request, &mut |_| {}).unwrap();
    assert!(!report.passed());
    let over = |what: &str| report.rows.iter().any(|r| r.what == what && r.verdict == Verdict::Over);
    assert!(over("n_tokens") && over("input_ids"), "{:#?}", report.rows);
}
