//! Images: decoding, the grid of tiles, Pillow's bicubic resize, pixel values (spec §3).

mod budget;
mod decode;
mod error;
mod grid;
mod resize;
#[cfg(test)]
mod tests;
mod tiles;

pub use budget::{MAX_TILES, TileOptions, TilePlan, plan_tiles};
pub use decode::{DecodeOptions, RgbImage, decode};
pub use error::ImageError;
pub use grid::{Grid, choose_grid};
pub use resize::resize;
pub use tiles::{ContentHash, ImageTiles, MEAN, STD};

use crate::config::ModelConfig;

/// The tiles of all images of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preprocessed {
    /// The images' tiles, in order.
    pub images: Vec<ImageTiles>,
    /// Says so if the tile budget forced smaller grids than wished.
    pub warning: Option<String>,
}

/// Tiles images as the model asks, within the budget.
///
/// # Errors
/// [`ImageError::TooManyImages`].
pub fn preprocess(
    config: &ModelConfig,
    images: &[RgbImage],
    options: &TileOptions,
) -> Result<Preprocessed, ImageError> {
    let sizes: Vec<_> = images.iter().map(|i| (i.width(), i.height())).collect();
    let plan = plan_tiles(config, &sizes, options)?;
    let images = images
        .iter()
        .zip(plan.grids)
        .map(|(image, grid)| ImageTiles::new(image, grid, config.tile_size, config.use_thumbnail))
        .collect();
    Ok(Preprocessed { images, warning: plan.warning })
}
