//! Which grid of tiles fits an image (spec §3.2).

/// A grid of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Tiles across.
    pub columns: usize,
    /// Tiles down.
    pub rows: usize,
}

impl Grid {
    /// The whole image as one tile.
    pub const ONE: Grid = Grid { columns: 1, rows: 1 };

    /// Number of tiles, thumbnail not counted.
    pub fn tiles(self) -> usize {
        self.columns * self.rows
    }

    /// Number of tiles with the thumbnail, which a grid of one tile never has.
    pub fn tiles_with_thumbnail(self, use_thumbnail: bool) -> usize {
        self.tiles() + usize::from(use_thumbnail && self.tiles() != 1)
    }
}

/// The grid of `min_num..=max_num` tiles whose aspect ratio is nearest to the image's.
///
/// Among equally near ones a larger grid wins if the image has more than half of its pixels.
pub fn choose_grid(width: u32, height: u32, tile_size: usize, min_num: usize, max_num: usize) -> Grid {
    let aspect = f64::from(width) / f64::from(height);
    let area = f64::from(width) * f64::from(height);
    let mut best = Grid::ONE;
    let mut best_difference = f64::INFINITY;
    for grid in candidates(min_num, max_num) {
        let (columns, rows) = (grid.columns as f64, grid.rows as f64);
        let difference = (aspect - columns / rows).abs();
        let side = tile_size as f64;
        let larger_fits = area > 0.5 * side * side * columns * rows;
        if difference < best_difference || (difference == best_difference && larger_fits) {
            best_difference = difference;
            best = grid;
        }
    }
    best
}

/// All grids of `min_num..=max_num` tiles, in ascending number of tiles.
fn candidates(min_num: usize, max_num: usize) -> impl Iterator<Item = Grid> {
    (min_num.max(1)..=max_num).flat_map(|tiles| {
        (1..=tiles)
            .filter(move |columns| tiles % columns == 0)
            .map(move |columns| Grid { columns, rows: tiles / columns })
    })
}
