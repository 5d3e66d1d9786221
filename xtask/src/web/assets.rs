//! `cargo xtask web-assets`: what the page serves besides its code, made from the repository into `web/public/`.

use super::manifest;
use crate::root;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The self-test's model: small, in bf16 as the published ones.
const SELF_TEST: &str = "tests/golden/mono-v1/bf16";

/// Makes `models/`, `examples/` and `selftest/` in `web/public/` anew.
///
/// # Errors
/// When a file cannot be read or written.
pub fn prepare() -> Result<()> {
    let public = root().join("web/public");
    let model = public.join("models/mono-tiny");
    copy(&root().join("models/mono-tiny"), &model, |name| name != "README.md")?;
    manifest::write(&model)?;
    copy(&root().join("examples"), &public.join("examples"), |name| name != "README.md")?;
    let test = public.join("selftest");
    self_test(&test)?;
    // With it the page knows which files there are, and asks for no other.
    manifest::write(&test)?;
    println!("web/public: models/mono-tiny, examples, selftest");
    Ok(())
}

/// Copies the files of a folder that `wanted` names, into an empty one.
fn copy(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && wanted(&name) {
            fs::copy(&path, to.join(&name)).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

/// The golden model with what is asked of it, and the images of that.
fn self_test(to: &Path) -> Result<()> {
    copy(&root().join(SELF_TEST), to, |_| true)?;
    let json: Value = serde_json::from_slice(
        &fs::read(to.join("selftest.json")).context("what is asked of the golden model")?,
    )?;
    for case in json["cases"].as_array().context("selftest.json has no cases")? {
        for image in case["images"].as_array().context("a case without images")? {
            let file = image["file"].as_str().context("an image without a file")?;
            fs::copy(root().join("tests/golden/images").join(file), to.join(file))?;
        }
    }
    Ok(())
}
