//! `model.safetensors.index.json`: which shard holds which tensor (spec §2).

use super::CheckpointError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Longest index file that is read, in bytes.
pub const MAX_INDEX_BYTES: usize = 16 << 20;

/// The parsed `weight_map`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardIndex {
    /// Shard file name by tensor name.
    pub weight_map: BTreeMap<String, String>,
}

impl ShardIndex {
    /// Parses the index file's text; `file` is the name used in errors.
    ///
    /// # Errors
    /// [`CheckpointError::Index`] if it is no JSON, has no `weight_map` of strings, or names a
    /// shard that is not a plain file name beside the index.
    pub fn parse(file: &str, json: &[u8]) -> Result<Self, CheckpointError> {
        let fail = |expected: &str, got: String| CheckpointError::Index {
            file: file.to_owned(),
            expected: expected.to_owned(),
            got,
        };
        if json.len() > MAX_INDEX_BYTES {
            let got = format!("{} bytes", json.len());
            return Err(fail("an index of at most 16 MiB", got));
        }
        let value: Value =
            serde_json::from_slice(json).map_err(|error| fail("a JSON object", error.to_string()))?;
        let map = value
            .get("weight_map")
            .and_then(Value::as_object)
            .ok_or_else(|| fail("an object `weight_map`", "none".to_owned()))?;
        let mut weight_map = BTreeMap::new();
        for (tensor, shard) in map {
            let shard = shard.as_str().filter(|shard| is_plain_name(shard)).ok_or_else(|| {
                let got = format!("{shard} for `{tensor}`");
                fail("the name of a file in the same folder", got)
            })?;
            weight_map.insert(tensor.clone(), shard.to_owned());
        }
        Ok(ShardIndex { weight_map })
    }

    /// The shards' file names, sorted.
    pub fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', ':', '\0'])
}
