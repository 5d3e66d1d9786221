//! Grids and tiles against the reference, bit for bit.

use super::golden::{Tensors, read_json};
use super::images::{Decoded, Images};
use super::report::{Rows, shape_text};
use anyhow::{Context, Result, ensure};
use monolens_models::image::{ImageTiles, choose_grid};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::Path;

#[derive(Debug, Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    image: String,
    size: Option<(u32, u32)>,
    max_num: usize,
    #[serde(default = "one")]
    min_num: usize,
    tile: usize,
    #[serde(default)]
    use_thumbnail: bool,
    grid_cols: usize,
    grid_rows: usize,
    tiles: usize,
    key: String,
    rgb_sha256: Option<String>,
    u8_tiles_sha256: Option<String>,
    pixel_values_f32le_sha256: Option<String>,
}

fn one() -> usize {
    1
}

#[derive(Debug, Deserialize)]
struct Grids {
    tile: usize,
    rows: Vec<[usize; 6]>,
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Verifies a preprocess folder.
///
/// # Errors
/// When its files cannot be read.
pub fn verify(folder: &Path, images: &Images, rows: &mut Rows<'_>) -> Result<()> {
    let path = folder.join("preprocess.json");
    let cases: Cases = read_json(&path)?;
    let tensors = Tensors::beside(&path)?;
    let grids = folder.join("grids.json");
    if grids.is_file() {
        verify_grids(&read_json(&grids)?, rows);
    }
    for case in &cases.cases {
        rows.case(&case.key);
        verify_case(case, &tensors, images, rows).with_context(|| case.key.clone())?;
    }
    Ok(())
}

fn verify_grids(grids: &Grids, rows: &mut Rows<'_>) {
    let side = |v: usize| u32::try_from(v).unwrap_or(u32::MAX);
    let wrong: Vec<_> = grids
        .rows
        .iter()
        .filter(|[w, h, min, max, columns, down]| {
            let grid = choose_grid(side(*w), side(*h), grids.tile, *min, *max);
            (grid.columns, grid.rows) != (*columns, *down)
        })
        .collect();
    rows.case("grids").exact("grid", &format!("{} sizes", grids.rows.len()), wrong.is_empty(), || {
        format!("{} differ, first (width, height, min, max, columns, rows): {:?}", wrong.len(), wrong[0])
    });
}

/// Sizes beyond these are no golden data.
const MAX_TILE: usize = 8192;
const MAX_TILES: usize = 256;

fn verify_case(case: &Case, tensors: &Tensors, images: &Images, rows: &mut Rows<'_>) -> Result<()> {
    ensure!(
        (1..=MAX_TILE).contains(&case.tile) && (1..=MAX_TILES).contains(&case.max_num),
        "expected a tile side of 1 to {MAX_TILE} and 1 to {MAX_TILES} tiles, got {} and {}",
        case.tile,
        case.max_num
    );
    let expected = case.rgb_sha256.as_deref();
    let image = match images.load(&case.image, expected) {
        Ok(Decoded { image, note }) => {
            if let Some(expected) = expected {
                let got = sha256(image.pixels());
                let shape = format!("{}×{}×3", image.height(), image.width());
                rows.exact("rgb_sha256", &shape, got == expected, || {
                    format!("expected {expected}, got {got}")
                });
            }
            if let Some(note) = note {
                rows.skipped("decoder", &note);
            }
            image
        }
        Err(error) => {
            rows.failed("image", &format!("{error:#}"));
            return Ok(());
        }
    };
    if let Some(size) = case.size {
        let got = (image.width(), image.height());
        rows.exact("size", "", got == size, || format!("expected {size:?}, got {got:?}"));
    }
    let grid = choose_grid(image.width(), image.height(), case.tile, case.min_num, case.max_num);
    let (got, expected) = ((grid.columns, grid.rows), (case.grid_cols, case.grid_rows));
    rows.exact("grid", "", got == expected, || format!("expected {expected:?}, got {got:?}"));
    let tiles = ImageTiles::new(&image, grid, case.tile, case.use_thumbnail);
    let got = tiles.count();
    rows.exact("tiles", "", got == case.tiles, || format!("expected {}, got {got}", case.tiles));
    let side = case.tile;
    if let Some(expected) = &case.u8_tiles_sha256 {
        let got = sha256(tiles.pixels());
        let shape = shape_text(&[tiles.count(), side, side, 3]);
        rows.exact("u8_tiles_sha256", &shape, got == *expected, || format!("expected {expected}, got {got}"));
    }
    let values = tiles.pixel_values();
    if let Some(expected) = &case.pixel_values_f32le_sha256 {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let got = sha256(&bytes);
        let shape = shape_text(&[tiles.count(), 3, side, side]);
        rows.exact("pixel_values_f32le_sha256", &shape, got == *expected, || {
            format!("expected {expected}, got {got}")
        });
    }
    verify_samples(case, tensors, &tiles, &values, rows)
}

/// Samples that locate an error when a hash differs.
fn verify_samples(
    case: &Case,
    tensors: &Tensors,
    tiles: &ImageTiles,
    values: &[f32],
    rows: &mut Rows<'_>,
) -> Result<()> {
    let (t, s) = (tiles.count(), case.tile);
    let name = |what: &str| format!("{}|{what}", case.key);
    let every = |from: usize, step: usize| (from..s).step_by(step).collect::<Vec<_>>();
    let u8_at = |tile: usize, y: usize, x: usize, c: usize| tiles.pixels()[((tile * s + y) * s + x) * 3 + c];
    if let Some((shape, expected)) = tensors.bytes(&name("u8_sample"))? {
        let at = every(8, 16);
        let mut got = Vec::with_capacity(expected.len());
        for tile in 0..t {
            for &y in &at {
                got.extend(
                    at.iter().flat_map(|&x| (0..3).map(move |c| (x, c))).map(|(x, c)| u8_at(tile, y, x, c)),
                );
            }
        }
        rows.sequence("u8_sample", &shape, &got, expected);
    }
    if let Some((shape, expected)) = tensors.bytes(&name("u8_full"))? {
        rows.sequence("u8_full", &shape, tiles.pixels(), expected);
    }
    if let Some(expected) = tensors.numbers(&name("pv_sample"))? {
        let at = every(24, 64);
        let mut got = Vec::with_capacity(expected.values.len());
        for plane in 0..t * 3 {
            for &y in &at {
                got.extend(at.iter().map(|&x| values[(plane * s + y) * s + x]));
            }
        }
        rows.sequence("pv_sample", &expected.shape, &got, &expected.values);
    }
    if let Some(expected) = tensors.numbers(&name("u8_mean"))? {
        let mut got = Vec::with_capacity(expected.values.len());
        for tile in tiles.pixels().chunks_exact(s * s * 3) {
            for c in 0..3 {
                let sum: f64 = tile.iter().skip(c).step_by(3).map(|&v| f64::from(v)).sum();
                got.push((sum / (s * s) as f64) as f32);
            }
        }
        rows.close("u8_mean", &expected.shape, &got, &expected.values);
    }
    Ok(())
}
