//! `manifest.json` of a model's folder: sizes and hashes, by which the page checks what it downloads, chunk by chunk
//! (`web/src/sources/manifest.ts` reads it).

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// Bytes of a chunk.
const CHUNK: usize = 4 << 20;

/// Writes the manifest of all files in a folder.
///
/// # Errors
/// When a file cannot be read.
pub fn write(folder: &Path) -> Result<()> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let files = names.into_iter().map(|name| {
        let path = folder.join(&name);
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let chunks: Vec<String> = bytes.chunks(CHUNK).map(hash).collect();
        Ok((name, json!({ "size": bytes.len(), "sha256": hash(&bytes), "chunks": chunks })))
    });
    let files = files.collect::<Result<serde_json::Map<String, Value>>>()?;
    let manifest = json!({ "chunkBytes": CHUNK, "files": files });
    Ok(fs::write(folder.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standard() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash(b"abc"), abc);
    }
}
