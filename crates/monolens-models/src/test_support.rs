//! Where tests find the golden data.

use std::path::PathBuf;

/// Path of a file below `tests/golden`.
pub fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// Content of a file below `tests/golden`.
pub fn golden(name: &str) -> Vec<u8> {
    let path = golden_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file below `tests/golden` as JSON.
pub fn golden_json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&golden(name)).unwrap()
}

/// Folder of the real InternLM2 tokenizer; says so and gives none where it is absent.
pub fn real_tokenizer() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/tokenizer-internlm2");
    let folder = std::env::var_os("MONOLENS_TOKENIZER_DIR").map_or(beside, PathBuf::from);
    if folder.join("tokenizer.model").is_file() {
        return Some(folder);
    }
    println!("skipped: no tokenizer.model in {}", folder.display());
    None
}
