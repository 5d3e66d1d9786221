//! What a folder of golden data holds.

use super::Request;
use super::golden::read_json;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A folder that can be verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// A tokenizer with texts, ids and decodes.
    Tokenizer {
        /// For the report.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// Grids and tiles.
    Preprocess {
        /// For the report.
        name: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A model.
    Model {
        /// For the report.
        name: String,
        /// The model folder.
        folder: PathBuf,
        /// Its golden JSON file.
        golden: PathBuf,
    },
}

impl Member {
    /// For the report.
    pub fn name(&self) -> &str {
        match self {
            Self::Tokenizer { name, .. } | Self::Preprocess { name, .. } | Self::Model { name, .. } => name,
        }
    }
}

/// The members that a request means, cheap ones first.
pub fn find(request: &Request) -> Result<Vec<Member>> {
    let folder = &request.folder;
    ensure!(folder.is_dir(), "{}: expected a folder of golden data, found none", folder.display());
    if let Some(golden) = &request.golden {
        let golden = if golden.extension().is_some_and(|e| e == "safetensors") {
            golden.with_extension("json")
        } else {
            golden.clone()
        };
        ensure!(
            golden.is_file(),
            "{}: expected golden data (golden.json), found no such file",
            golden.display()
        );
        return Ok(vec![Member::Model { name: name(folder), folder: folder.clone(), golden }]);
    }
    if let Some(member) = member(folder)? {
        return Ok(vec![member]);
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.is_dir()).collect();
    folders.sort();
    let mut members = Vec::new();
    for folder in &folders {
        members.extend(member(folder)?);
    }
    members.sort_by_key(|m| match m {
        Member::Preprocess { .. } => 0,
        Member::Tokenizer { .. } => 1,
        Member::Model { .. } => 2,
    });
    if members.is_empty() {
        bail!(
            "{}: expected golden data (golden.json beside a model or a tokenizer, preprocess.json, or folders with them), found none",
            folder.display()
        );
    }
    Ok(members)
}

fn name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map_or_else(|| folder.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// What a single folder is.
fn member(folder: &Path) -> Result<Option<Member>> {
    let (name, owned) = (name(folder), folder.to_owned());
    if folder.join("preprocess.json").is_file() {
        return Ok(Some(Member::Preprocess { name, folder: owned }));
    }
    let golden = folder.join("golden.json");
    if !golden.is_file() {
        return Ok(None);
    }
    let json: Value = read_json(&golden)?;
    if json.get("tokenizer").is_some() {
        return Ok(Some(Member::Tokenizer { name, folder: owned }));
    }
    ensure!(
        folder.join("config.json").is_file(),
        "{}: expected config.json beside golden.json, found none",
        folder.display()
    );
    Ok(Some(Member::Model { name, folder: owned, golden }))
}
