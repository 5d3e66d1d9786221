//! An image cut into tiles, and the tiles' pixel values (spec §3.3–3.5).

use super::decode::RgbImage;
use super::grid::Grid;
use super::resize::resize;
use sha2::{Digest, Sha256};

/// Mean of each channel, subtracted after division by 255.
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];

/// Standard deviation of each channel, divided by after the mean.
pub const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// SHA-256 over tile side, number and pixels: equal hashes give equal visual tokens of one model.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub [u8; 32]);

impl std::fmt::Debug for ContentHash {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// The tiles of one image, thumbnail last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageTiles {
    size: (u32, u32),
    grid: Grid,
    tile_size: usize,
    /// u8 [T, S, S, 3].
    pixels: Vec<u8>,
}

impl ImageTiles {
    /// Resizes the image to the grid, cuts it, and appends the thumbnail if the grid has several
    /// tiles and `use_thumbnail` asks for it.
    pub fn new(image: &RgbImage, grid: Grid, tile_size: usize, use_thumbnail: bool) -> Self {
        let side = tile_size;
        let tile_bytes = side * side * 3;
        let count = grid.tiles_with_thumbnail(use_thumbnail);
        let mut pixels = Vec::with_capacity(count * tile_bytes);
        let whole = resize(image, grid.columns * side, grid.rows * side);
        let row_bytes = grid.columns * side * 3;
        for row in 0..grid.rows {
            for column in 0..grid.columns {
                for y in 0..side {
                    let at = (row * side + y) * row_bytes + column * side * 3;
                    pixels.extend_from_slice(&whole[at..at + side * 3]);
                }
            }
        }
        if count > grid.tiles() {
            pixels.extend_from_slice(&resize(image, side, side));
        }
        ImageTiles { size: (image.width(), image.height()), grid, tile_size, pixels }
    }

    /// Number of tiles, T, with the thumbnail.
    pub fn count(&self) -> usize {
        self.pixels.len() / (self.tile_size * self.tile_size * 3)
    }

    /// Side of a tile in pixels, S.
    pub fn tile_size(&self) -> usize {
        self.tile_size
    }

    /// The grid, thumbnail not counted.
    pub fn grid(&self) -> Grid {
        self.grid
    }

    /// Whether the last tile is a thumbnail of the whole image.
    pub fn has_thumbnail(&self) -> bool {
        self.count() > self.grid.tiles()
    }

    /// Width and height of the original image in pixels.
    pub fn original_size(&self) -> (u32, u32) {
        self.size
    }

    /// All tiles as u8 [T, S, S, 3].
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Normalised pixel values, f32 [T, 3, S, S].
    pub fn pixel_values(&self) -> Vec<f32> {
        let plane = self.tile_size * self.tile_size;
        let tables: [[f32; 256]; 3] = std::array::from_fn(|channel| {
            std::array::from_fn(|value| (value as f32 / 255.0 - MEAN[channel]) / STD[channel])
        });
        let mut out = Vec::with_capacity(self.pixels.len());
        for tile in self.pixels.chunks_exact(plane * 3) {
            for (channel, table) in tables.iter().enumerate() {
                let pixels = tile.as_chunks::<3>().0.iter();
                out.extend(pixels.map(|pixel| table[usize::from(pixel[channel])]));
            }
        }
        out
    }

    /// Hash of the tiles' content, for caches.
    pub fn content_hash(&self) -> ContentHash {
        let mut hash = Sha256::new();
        hash.update((self.tile_size as u64).to_le_bytes());
        hash.update((self.count() as u64).to_le_bytes());
        hash.update(&self.pixels);
        ContentHash(hash.finalize().into())
    }
}
