//! `cargo xtask web-assets`: what the page serves besides its code, made from the repository into `web/public/`.

use super::manifest;
use crate::root;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The self-test's model: small, in bf16 as the published ones.
const SELF_TEST: &str = "tests/golden/mono-v1";

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

/// The golden model with the case for which the official code's ids with these weights are known.
fn self_test(to: &Path) -> Result<()> {
    let golden = root().join(SELF_TEST);
    copy(&golden.join("bf16"), to, |_| true)?;
    let json = fs::read(golden.join("golden.json")).context("cannot read the golden cases")?;
    let json: Value = serde_json::from_slice(&json)?;
    let variant = &json["variants"]["bf16_weights"];
    let name = variant["case"].as_str().context("golden.json names no case of the bf16 weights")?;
    let case = &json["cases"][name];
    let mut images = Vec::new();
    for image in case["images"].as_array().context("a case without images")? {
        let file = image["file"].as_str().context("an image without a file")?;
        fs::copy(root().join("tests/golden/images").join(file), to.join(file))?;
        images.push(json!({ "file": file, "maxTiles": image["max_num"] }));
    }
    let prompt = prompt(case["prompt"].as_str().context("a case without a prompt")?);
    let case = json!({ "name": name, "prompt": prompt, "images": images, "generated": variant["generated"] });
    Ok(fs::write(to.join("selftest.json"), serde_json::to_vec_pretty(&json!({ "cases": [case] }))?)?)
}

/// A golden prompt with `<image>` in place of each image's written-out tokens.
fn prompt(text: &str) -> String {
    let mut parts = text.split("<img>");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let rest = part.split_once("</img>").map_or("", |(_, rest)| rest);
        all + "<image>" + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_a_golden_prompt_become_marks() {
        assert_eq!(prompt("a <img><IMG_CONTEXT*16></img> b <img>x</img>"), "a <image> b <image>");
        assert_eq!(prompt("no image"), "no image");
    }
}
