//! Images as the engine takes them: tiles with their content hash.

use monolens_models::image::{ContentHash, ImageTiles};
use std::sync::Arc;

/// An image cut into tiles. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Image {
    tiles: Arc<ImageTiles>,
    hash: ContentHash,
}

impl Image {
    /// The image with these tiles.
    pub fn new(tiles: ImageTiles) -> Self {
        Self { hash: tiles.content_hash(), tiles: Arc::new(tiles) }
    }

    /// Its tiles.
    pub fn tiles(&self) -> &ImageTiles {
        &self.tiles
    }

    /// Identifies its content.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// The bytes of one tile, u8 [S, S, 3].
    pub(crate) fn tile(&self, index: usize) -> Option<&[u8]> {
        let side = self.tiles.tile_size();
        self.tiles.pixels().chunks_exact(side * side * 3).nth(index)
    }
}

impl PartialEq for Image {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}
