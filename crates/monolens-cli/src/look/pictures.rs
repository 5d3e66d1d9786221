//! The attention pictures of an answer.

use super::{mean_attention, parts};
use crate::answer::Answered;
use crate::draw::{self, heat, map};
use crate::photos::Photo;
use anyhow::{Context, Result, ensure};
use monolens_engine::{Engine, Image, Inspect, Prompt};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Tokens up to which all layers are looked at in one run; beyond, one after another, for their memory.
const AT_ONCE: usize = 4096;

/// What was asked and answered.
pub struct Asked<'a> {
    /// The prompt as the engine got it.
    pub prompt: Prompt,
    /// The question's text.
    pub question: &'a str,
    /// The images, in order.
    pub photos: &'a [Photo],
    /// The answer.
    pub answered: &'a Answered,
}

/// Draws the answer's attention over the images to `path`, and from token to token to `OUT.map.png`; `layers` count
/// from 1. Gives the files.
///
/// # Errors
/// When the device fails or a file cannot be written.
pub fn draw(engine: &mut Engine, asked: &Asked<'_>, layers: &[usize], path: &Path) -> Result<Vec<PathBuf>> {
    let (prompt, answer) = (asked.prompt.ids.len(), asked.answered.ids.len());
    let n = prompt + answer;
    let per_tile = engine.model().config().num_image_token();
    let runs = asked.prompt.segments(engine.model().tokenizer().special(), per_tile);
    let (segments, rows) = parts(&runs, answer);
    // The rows that chose the answer's tokens: from the prompt's last to the last but one.
    let queries = prompt - 1..(n - 1).max(prompt);
    let mut heats: Vec<Vec<heat::Layer>> = vec![Vec::new(); rows.len()];
    let mut maps = Vec::new();
    let group = if n <= AT_ONCE { layers.len().max(1) } else { 1 };
    for group in layers.chunks(group) {
        let seen = attention(engine, asked, group)?;
        for &number in group {
            let map = seen
                .get(&number)
                .with_context(|| format!("the engine gave no attention of layer {number}"))?;
            for (heats, keys) in heats.iter_mut().zip(&rows) {
                let values = mean_attention(map, n, queries.clone(), keys.clone());
                heats.push(heat::Layer { number, values });
            }
            maps.push(map::Layer::new(number, n, map)?);
        }
    }
    let side = per_tile.isqrt();
    ensure!(
        side * side == per_tile,
        "attention over an image: expected a square number of tokens a tile, got {per_tile}"
    );
    let sections: Vec<heat::Section> = asked
        .photos
        .iter()
        .zip(&asked.prompt.images)
        .zip(heats)
        .map(|((photo, image), layers)| heat::Section {
            title: photo.name.clone(),
            image: photo.picture(),
            grid: tile_grid(image, side),
            layers,
        })
        .collect();
    draw::save(&heat::draw(asked.question, &asked.answered.text, &sections)?, path)?;
    let map_path = path.with_extension("map.png");
    draw::save(&map::draw(asked.question, &segments, &maps)?, &map_path)?;
    Ok(vec![path.to_owned(), map_path])
}

/// Attention maps N×N by layer, counted from 1.
fn attention(engine: &mut Engine, asked: &Asked<'_>, layers: &[usize]) -> Result<BTreeMap<usize, Vec<f32>>> {
    let tap = |layer: usize| format!("attention_map.{}", layer - 1);
    let request = Inspect {
        prompt: asked.prompt.clone(),
        forced: asked.answered.ids.clone(),
        taps: layers.iter().map(|&l| tap(l)).collect(),
        ..Inspect::default()
    };
    let mut seen = pollster::block_on(engine.inspect(request))?;
    Ok(layers.iter().filter_map(|&l| Some((l, seen.tensors.remove(&tap(l))?.f32s()))).collect())
}

fn tile_grid(image: &Image, side: usize) -> heat::TileGrid {
    let tiles = image.tiles();
    heat::TileGrid {
        columns: tiles.grid().columns,
        rows: tiles.grid().rows,
        thumbnail: tiles.has_thumbnail(),
        side,
    }
}
