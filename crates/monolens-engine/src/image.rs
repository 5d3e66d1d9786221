//! Images as the engine takes them: tiles with their content hashes.

use crate::kv::TileHash;
use std::sync::Arc;

/// One S×S tile, 8-bit RGB, row by row.
#[derive(Clone, PartialEq, Eq)]
pub struct Tile {
    hash: TileHash,
    rgb: Arc<[u8]>,
}

impl Tile {
    /// A tile from its S·S·3 bytes.
    pub fn new(rgb: impl Into<Arc<[u8]>>) -> Self {
        let rgb = rgb.into();
        Self { hash: TileHash::of(&rgb), rgb }
    }

    /// Identifies its content.
    pub fn hash(&self) -> TileHash {
        self.hash
    }

    /// Its bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

impl std::fmt::Debug for Tile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tile").field("hash", &self.hash).field("bytes", &self.rgb.len()).finish()
    }
}
