//! Where tests find the golden data.

use std::path::PathBuf;

/// Path of a file below `tests/golden`.
pub fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden")
        .join(name)
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
