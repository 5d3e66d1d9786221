//! Safetensors checkpoints: one file or shards, mapped or in memory (spec §2).
//!
//! A checkpoint is a [`Layout`] (checked headers) plus the files' bytes. Tensors are handed out as
//! slices one at a time; nothing copies the whole. On the web the layout alone is made from fetched
//! headers ([`Header::json_length`], [`Header::parse`], [`Layout::new`]) and tensors come by range reads.

mod error;
#[cfg(test)]
mod fuzz;
mod header;
mod index;
mod layout;
#[cfg(not(target_arch = "wasm32"))]
mod map;
mod source;
#[cfg(test)]
mod tests;

pub use error::CheckpointError;
pub use header::{DType, Header, MAX_HEADER_BYTES, PREFIX_BYTES, TensorInfo};
pub use index::{MAX_INDEX_BYTES, ShardIndex};
pub use layout::{Layout, Located};
pub use source::{TensorSource, first_not_finite, widen};

use std::borrow::Cow;
use std::sync::Arc;

/// The bytes of one file.
enum FileBytes {
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(memmap2::Mmap),
    Shared(Arc<[u8]>),
    Static(&'static [u8]),
}

impl FileBytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            #[cfg(not(target_arch = "wasm32"))]
            FileBytes::Mapped(map) => map,
            FileBytes::Shared(bytes) => bytes,
            FileBytes::Static(bytes) => bytes,
        }
    }
}

/// A checkpoint whose bytes are at hand.
pub struct Checkpoint {
    layout: Layout,
    files: Vec<FileBytes>,
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.debug_struct("Checkpoint")
            .field("files", &self.layout.files())
            .field("tensors", &self.layout.len())
            .finish()
    }
}

impl Checkpoint {
    /// A checkpoint of one safetensors file held in memory.
    ///
    /// # Errors
    /// See [`Header::of_file`].
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Self, CheckpointError> {
        Self::one("model.safetensors", FileBytes::Shared(bytes.into()))
    }

    /// A checkpoint of one safetensors file built into the program.
    ///
    /// # Errors
    /// See [`Header::of_file`].
    pub fn from_static(bytes: &'static [u8]) -> Result<Self, CheckpointError> {
        Self::one("model.safetensors", FileBytes::Static(bytes))
    }

    /// A checkpoint of several files held in memory, each with its name.
    ///
    /// # Errors
    /// See [`Header::of_file`] and [`Layout::new`].
    pub fn from_shards(
        shards: impl IntoIterator<Item = (String, Arc<[u8]>)>,
    ) -> Result<Self, CheckpointError> {
        Self::assemble(shards.into_iter().map(|(name, bytes)| (name, FileBytes::Shared(bytes))).collect())
    }

    fn one(name: &str, bytes: FileBytes) -> Result<Self, CheckpointError> {
        Self::assemble(vec![(name.to_owned(), bytes)])
    }

    fn assemble(parts: Vec<(String, FileBytes)>) -> Result<Self, CheckpointError> {
        let mut headers = Vec::with_capacity(parts.len());
        let mut files = Vec::with_capacity(parts.len());
        for (name, bytes) in parts {
            let header = Header::of_file(&name, bytes.as_slice())?;
            headers.push((name, header));
            files.push(bytes);
        }
        Ok(Checkpoint { layout: Layout::new(headers)?, files })
    }

    /// Where everything lies.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// One tensor's bytes, borrowed from the file.
    ///
    /// # Errors
    /// [`CheckpointError::MissingTensor`].
    pub fn slice(&self, tensor: &str) -> Result<&[u8], CheckpointError> {
        let located = self.layout.get(tensor);
        located
            .and_then(|at| {
                let from = usize::try_from(at.info.range.start).ok()?;
                let to = usize::try_from(at.info.range.end).ok()?;
                self.files[at.file].as_slice().get(from..to)
            })
            .ok_or_else(|| CheckpointError::MissingTensor {
                tensor: tensor.to_owned(),
                expected: "it in the checkpoint".to_owned(),
            })
    }
}

impl TensorSource for Checkpoint {
    fn names(&self) -> Vec<&str> {
        self.layout.iter().map(|(name, _)| name).collect()
    }

    fn info(&self, tensor: &str) -> Option<&TensorInfo> {
        self.layout.get(tensor).map(|at| &at.info)
    }

    fn bytes(&self, tensor: &str) -> Result<Cow<'_, [u8]>, CheckpointError> {
        self.slice(tensor).map(Cow::Borrowed)
    }
}
