//! Checkpoints mapped from a folder.

use super::{Checkpoint, CheckpointError, FileBytes, MAX_INDEX_BYTES, ShardIndex};
use std::fs::File;
use std::path::Path;

impl Checkpoint {
    /// Maps `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    ///
    /// The files must not be shortened while the checkpoint lives.
    ///
    /// # Errors
    /// [`CheckpointError`]: no weights, an unreadable or malformed file, a missing shard.
    pub fn open(folder: &Path) -> Result<Self, CheckpointError> {
        let single = folder.join("model.safetensors");
        let index = folder.join("model.safetensors.index.json");
        if single.is_file() {
            return Self::open_file(&single);
        }
        if !index.is_file() {
            return Err(CheckpointError::NoWeights { folder: folder.display().to_string() });
        }
        let index = read_index(&index)?;
        let mut parts = Vec::new();
        for shard in index.shards() {
            let path = folder.join(shard);
            if !path.is_file() {
                return Err(missing(&index, shard));
            }
            parts.push((shard.to_owned(), map_file(&path)?));
        }
        let checkpoint = Self::assemble(parts)?;
        checkpoint.layout.check_index(&index)?;
        Ok(checkpoint)
    }

    /// Maps one safetensors file.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open_file(path: &Path) -> Result<Self, CheckpointError> {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Self::one(&name.to_string_lossy(), map_file(path)?)
    }
}

fn missing(index: &ShardIndex, shard: &str) -> CheckpointError {
    let mut tensors =
        index.weight_map.iter().filter(|(_, other)| *other == shard).map(|(tensor, _)| tensor.clone());
    CheckpointError::MissingShard {
        shard: shard.to_owned(),
        first: tensors.next().unwrap_or_default(),
        tensors: tensors.count() + 1,
    }
}

fn read_index(path: &Path) -> Result<ShardIndex, CheckpointError> {
    let name = path.display().to_string();
    let bytes = crate::files::read_limited(path, MAX_INDEX_BYTES)
        .map_err(|source| CheckpointError::Io { file: name.clone(), source })?;
    ShardIndex::parse(&name, &bytes)
}

fn map_file(path: &Path) -> Result<FileBytes, CheckpointError> {
    let fail = |source| CheckpointError::Io { file: path.display().to_string(), source };
    let file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.len() == 0 {
        // Some systems refuse to map nothing; the header check will say what is wrong.
        return Ok(FileBytes::Static(&[]));
    }
    // SAFETY: the mapping is read-only. Weights are plain bytes, any content is valid; a file cut
    // short meanwhile ends the process with a bus error, as documented on `Checkpoint::open`.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(fail)?;
    Ok(FileBytes::Mapped(map))
}
