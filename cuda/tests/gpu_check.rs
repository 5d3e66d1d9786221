//! `gpu-check` on a machine without a GPU: it says so and leaves with its own exit status.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("monolens-gpu-check-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Exit status and output; none where there is no Python.
fn gpu_check(bundle: &Path) -> Option<(Option<i32>, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("gpu-check");
    let mut command = Command::new("python3");
    command.arg(script).arg("--bundle").arg(bundle).arg("--out").arg(bundle.join("out"));
    match command.output() {
        Ok(output) => Some((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())),
        Err(error) => {
            println!("SKIPPED: python3: {error}");
            None
        }
    }
}

#[test]
fn a_missing_bundle_is_said() {
    let bundle = folder("empty");
    if let Some((status, text)) = gpu_check(&bundle) {
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains("cargo xtask gpu-bundle"), "{text}");
    }
    let _ = fs::remove_dir_all(bundle);
}

#[test]
fn a_missing_gpu_is_said_with_its_reason() {
    let bundle = folder("no-gpu");
    let command = bundle.join("monolens");
    fs::write(
        &command,
        "#!/bin/sh\necho '{\"choice\": {\"error\": \"CUDA is not available: no driver\"}}'\n",
    )
    .unwrap();
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755)).unwrap();
    if let Some((status, text)) = gpu_check(&bundle) {
        assert_eq!(status, Some(2), "{text}");
        assert_eq!(text.trim(), "no GPU: CUDA is not available: no driver");
    }
    let _ = fs::remove_dir_all(bundle);
}

/// 1,024 rows of a network of 2,048 x 8,192 are 103 GFLOP, and computing both experts is twice that.
#[test]
fn what_faster_instructions_would_save_is_told_beside_the_rates() {
    let script = r#"
from gpu_check import benchmarks
routed = [{"tokens": 1024, "visual": x, "routed, s": 0.001, "both, s": 0.0016} for x in ("0 %", "50 %")]
pytorch = [{"tokens": 1024, "visual": "0 %", "both, s": 0.0014}]
[row] = benchmarks.rates(routed, pytorch, [{"bf16 product, TFLOP/s": 200}], (2048, 8192))
print(*(f"{value:.0f}" if isinstance(value, float) else value for value in row.values()), sep=", ")
[row] = benchmarks.rates([{"tokens": 1, "visual": "0 %", "routed, s": 1, "both, s": 3}], [], [], (2048, 8192))
print(row["at most saved"])
"#;
    let mut command = Command::new("python3");
    command.arg("-B").arg("-c").arg(script).current_dir(env!("CARGO_MANIFEST_DIR"));
    match command.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(text, "1024, 103, 129, 147, 52 %, 30 %\nNone\n", "{error}");
        }
        Err(error) => println!("SKIPPED: python3: {error}"),
    }
}

/// Ratios of 1.5 at 0 %, 0.5 at 50 % and 1.5 at 100 % visual: equal at 25 and at 75 %.
#[test]
fn break_even_points_lie_between_the_measured_shares() {
    let script = r#"
from gpu_check import benchmarks
rows = [{"tokens": 64, "visual": f"{x} %", "order": "runs", "both / routed": y} for x, y in ((0, 1.5), (50, 0.5), (100, 1.5))]
points = benchmarks.break_even(rows)
print(points[0]["equal at, % visual"], "|", points[0]["slower at, % visual"], "|", benchmarks.told(points))
print(benchmarks.told(benchmarks.break_even([rows[0], rows[2]])))
"#;
    let mut command = Command::new("python3");
    command.arg("-B").arg("-c").arg(script).current_dir(env!("CARGO_MANIFEST_DIR"));
    match command.output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(
                text.starts_with("25, 75 | 50 | routing is slower: 64 tokens in runs than both"),
                "{text}{error}"
            );
            assert!(
                text.ends_with("no break-even: routing at no mix slower than an alternative\n"),
                "{text}"
            );
        }
        Err(error) => println!("SKIPPED: python3: {error}"),
    }
}
