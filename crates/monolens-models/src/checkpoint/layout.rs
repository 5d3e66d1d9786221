//! Where every tensor of a checkpoint lies, without its data: all that a streaming loader needs.

use super::{CheckpointError, Header, ShardIndex, TensorInfo};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A tensor's file and place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Index into [`Layout::files`].
    pub file: usize,
    /// Type, shape and byte range in that file.
    pub info: TensorInfo,
}

/// Every tensor of a checkpoint of one or more files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    files: Vec<String>,
    tensors: BTreeMap<String, Located>,
}

impl Layout {
    /// Joins the headers of a checkpoint's files, each with its file name.
    ///
    /// # Errors
    /// [`CheckpointError::Duplicate`] if two files hold the same name.
    pub fn new(headers: impl IntoIterator<Item = (String, Header)>) -> Result<Self, CheckpointError> {
        let mut layout = Layout::default();
        for (name, header) in headers {
            let file = layout.files.len();
            layout.files.push(name);
            for (tensor, info) in header.tensors {
                match layout.tensors.entry(tensor) {
                    Entry::Vacant(place) => place.insert(Located { file, info }),
                    Entry::Occupied(other) => {
                        return Err(CheckpointError::Duplicate {
                            tensor: other.key().clone(),
                            first: layout.files[other.get().file].clone(),
                            second: layout.files[file].clone(),
                        });
                    }
                };
            }
        }
        Ok(layout)
    }

    /// Checks that each tensor of the index is in the shard it names.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`] for the first that is not.
    pub fn check_index(&self, index: &ShardIndex) -> Result<(), CheckpointError> {
        for (tensor, shard) in &index.weight_map {
            let found = self.get(tensor).is_some_and(|located| &self.files[located.file] == shard);
            if !found {
                return Err(CheckpointError::MissingTensor {
                    tensor: tensor.clone(),
                    expected: format!("it in shard `{shard}` (by the index)"),
                });
            }
        }
        Ok(())
    }

    /// The files' names, in the order that [`Located::file`] counts.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// One tensor.
    pub fn get(&self, tensor: &str) -> Option<&Located> {
        self.tensors.get(tensor)
    }

    /// All tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Located)> {
        self.tensors.iter().map(|(name, at)| (name.as_str(), at))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Number of elements of all tensors.
    pub fn parameters(&self) -> u64 {
        self.tensors.values().map(|at| at.info.elements()).sum()
    }

    /// Number of bytes of all tensors.
    pub fn bytes(&self) -> u64 {
        self.tensors.values().map(|at| at.info.bytes()).sum()
    }
}
