//! How many tiles the images of a prompt get.

use super::ImageError;
use super::grid::{Grid, choose_grid};
use crate::config::ModelConfig;

/// Most tiles of a prompt, thumbnails included: 10,240 visual tokens at 256 a tile (spec §3).
pub const MAX_TILES: usize = 40;

/// Wishes about tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TileOptions {
    /// Most tiles of an image's grid, thumbnail not counted; the model's `max_dynamic_patch` if none.
    pub max_tiles: Option<usize>,
    /// Most tiles of all images together, thumbnails included; at most and by default [`MAX_TILES`].
    pub budget: Option<usize>,
}

impl TileOptions {
    /// One tile an image, as for video frames (spec §10).
    pub const FRAME: TileOptions = TileOptions { max_tiles: Some(1), budget: None };
}

/// The grids chosen for the images of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TilePlan {
    /// One grid an image.
    pub grids: Vec<Grid>,
    /// Tiles of all images, thumbnails included.
    pub tiles: usize,
    /// Says so if the budget forced smaller grids than wished.
    pub warning: Option<String>,
}

/// Chooses a grid for each image (of the given widths and heights). Where together they exceed the
/// budget, the limit per image is lowered step by step, and the plan carries a warning.
///
/// # Errors
/// [`ImageError::TooManyImages`] if even one tile an image is too much.
pub fn plan_tiles(
    config: &ModelConfig,
    sizes: &[(u32, u32)],
    options: &TileOptions,
) -> Result<TilePlan, ImageError> {
    let budget = options.budget.unwrap_or(MAX_TILES).min(MAX_TILES);
    let wished = options.max_tiles.unwrap_or(config.max_dynamic_patch).max(1);
    let first = attempt(config, sizes, wished.min(budget));
    let unlimited = if wished > budget { attempt(config, sizes, wished.min(256)).tiles } else { first.tiles };
    let mut plan = first;
    let mut limit = wished.min(budget);
    while plan.tiles > budget && limit > 1 {
        limit -= 1;
        plan = attempt(config, sizes, limit);
    }
    if plan.tiles > budget {
        return Err(ImageError::TooManyImages { budget, images: sizes.len() });
    }
    if unlimited > plan.tiles {
        plan.warning = Some(format!(
            "{} tiles ({} visual tokens) were wanted, the budget is {budget}: tiled down to {} ({} visual tokens)",
            unlimited,
            unlimited * config.num_image_token(),
            plan.tiles,
            plan.tiles * config.num_image_token()
        ));
    }
    Ok(plan)
}

fn attempt(config: &ModelConfig, sizes: &[(u32, u32)], max_num: usize) -> TilePlan {
    let min_num = config.min_dynamic_patch.min(max_num);
    let grids: Vec<Grid> = sizes
        .iter()
        .map(|&(width, height)| {
            if config.dynamic_image_size {
                choose_grid(width, height, config.tile_size, min_num, max_num)
            } else {
                Grid::ONE
            }
        })
        .collect();
    let tiles = grids.iter().map(|grid| grid.tiles_with_thumbnail(config.use_thumbnail)).sum();
    TilePlan { grids, tiles, warning: None }
}
