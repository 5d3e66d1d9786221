//! `monolens tune` on whatever wgpu adapter there is, a software one too; without any the test says SKIPPED, and fails where
//! `MONOLENS_REQUIRE_WGPU` is set.

use assert_cmd::Command;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn monolens(cache: &Path, args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("monolens").unwrap();
    command.env_remove("RUST_LOG").env("MONOLENS_CACHE", cache).args(args);
    command
}

fn json(command: &mut Command) -> Value {
    let output = command.assert().success().get_output().stdout.clone();
    serde_json::from_slice(&output).unwrap()
}

#[test]
fn what_was_found_is_taken_from_then_on_unless_the_user_says_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path();
    let adapters = json(&mut monolens(cache, &["doctor", "--json", "--backend", "cpu"]));
    let usable = adapters["adapters"].as_array().unwrap().iter().find(|a| a["unusable"].is_null());
    let Some(adapter) = usable else {
        println!("SKIPPED: no wgpu adapter");
        assert!(std::env::var_os("MONOLENS_REQUIRE_WGPU").is_none(), "MONOLENS_REQUIRE_WGPU is set");
        return;
    };
    let index = adapter["index"].to_string();
    let presets = |more: &[&str]| {
        let args = [&["doctor", "--json", "--backend", "wgpu", "--device", &index][..], more].concat();
        json(&mut monolens(cache, &args))["choice"]["presets"].clone()
    };
    let count = |presets: &Value| presets["found"].as_array().unwrap().len();
    let none = presets(&[]);
    assert_eq!(count(&none), 0);
    assert!(none["reason"].as_str().unwrap().contains("has found nothing yet"), "{none}");

    let tune = ["tune", "--device", &index, "--tier", "baseline", "--weights", "stored", "--repeat", "1"];
    let table = json(monolens(cache, &tune).args(["--format", "json"]));
    let rows = table.as_array().unwrap();
    let of = |row: &Value| (row["projection"].clone(), row["rows"].clone());
    let chosen: Vec<_> = rows.iter().filter(|row| row["choice"] == "chosen").map(of).collect();
    let mut measured: Vec<_> = rows.iter().map(of).collect();
    measured.dedup();
    assert_eq!(chosen, measured, "one preset of each");
    assert!(rows.iter().all(|row| row["ms"].as_f64().unwrap() > 0.0), "{table}");

    let at_baseline = ["--tier", "baseline"];
    let found = presets(&at_baseline);
    assert!(count(&found) >= 3, "{found}");
    let passed_over = presets(&["--tier", "baseline", "--no-tuning"]);
    assert_eq!(count(&passed_over), 0);
    assert!(passed_over["reason"].as_str().unwrap().contains("--no-tuning"), "{passed_over}");
    if adapter["tiers"].as_array().unwrap().len() > 1 {
        assert_eq!(count(&presets(&[])), 0, "another tier");
    }

    // A model answers by what was found, and without a word by the defaults where the file is damaged.
    let run = ["run", "--json", "--backend", "wgpu", "--device", &index, "--tier", "baseline"];
    let answer = || json(monolens(cache, &run).args(["--max-new-tokens", "2", "-p", "What is this?"]));
    let tuned = answer()["answer"].clone();
    let file = fs::read_dir(cache.join("wgpu")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "damaged").unwrap();
    assert_eq!(count(&presets(&at_baseline)), 0);
    assert_eq!(answer()["answer"], tuned);
}

#[test]
fn there_is_nothing_to_tune_on_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let tune = monolens(folder.path(), &["tune", "--backend", "cpu"]).assert().failure().code(2);
    let told = String::from_utf8_lossy(&tune.get_output().stderr).into_owned();
    assert!(told.contains("only wgpu has presets"), "{told}");
}
