//! From a case's question, history and images to its prompt.

use super::golden::{Case, Tensors};
use super::images::Images;
use super::lab::Lab;
use super::prompt;
use super::report::{Rows, shape_text};
use anyhow::{Context, Result};
use monolens_engine::{Image, Prompt, TileOptions};
use monolens_models::Model;
use monolens_models::image::{ImageTiles, RgbImage};

/// The prompt of a case, as this engine made it.
#[derive(Clone)]
pub struct Prepared {
    /// Ids and tiles.
    pub prompt: Prompt,
}

/// Makes the prompt of a case and compares what it is made of. None when it cannot be compared further.
///
/// # Errors
/// When golden data cannot be read.
pub fn prepare(
    name: &str,
    case: &Case,
    tensors: &Tensors,
    images: &Images,
    lab: &Lab,
    rows: &mut Rows<'_>,
) -> Result<Option<Prepared>> {
    let model = lab.engine.model();
    let tiled = match tile(case, images, model) {
        Ok(tiled) => tiled,
        Err(error) => {
            rows.failed("images", &format!("{error:#}"));
            return Ok(None);
        }
    };
    let counts: Vec<usize> = tiled.iter().map(ImageTiles::count).collect();
    let expected: Vec<usize> = case.images.iter().filter_map(|i| i.tiles).collect();
    if !expected.is_empty() {
        rows.sequence("tiles", &[expected.len()], &counts, &expected);
    }
    // Several images may stand under one `<image>`.
    let per_mark =
        if case.num_patches_list.is_empty() { counts.clone() } else { case.num_patches_list.clone() };
    if !case.num_patches_list.is_empty() {
        let (got, expected) = (counts.iter().sum::<usize>(), per_mark.iter().sum::<usize>());
        rows.exact("num_patches_list", &shape_text(&[per_mark.len()]), got == expected, || {
            format!("expected {expected} tiles in all, got {got}")
        });
    }
    compare_tiles(name, &tiled, tensors, model.config().tile_size, rows)?;
    let per_tile = model.config().num_image_token();
    let built = prompt::build(&case.question, &case.history, &per_mark, per_tile, model.tokenizer());
    let built = match built {
        Ok(built) => built,
        Err(error) => {
            rows.failed("prompt", &format!("{error:#}"));
            return Ok(None);
        }
    };
    if let Some(expected) = &case.prompt {
        let shape = format!("{} characters", expected.chars().count());
        rows.exact("prompt", &shape, built.text == *expected, || {
            format!("expected {expected:?}, got {:?}", built.text)
        });
    }
    let mut count = |what: &str, expected: Option<usize>, got: usize| {
        if let Some(expected) = expected {
            rows.exact(what, "", expected == got, || format!("expected {expected}, got {got}"));
        }
    };
    count("n_tokens", case.n_tokens, built.ids.len());
    count("n_visual", case.n_visual, built.mask.iter().filter(|&&m| m == 1).count());
    let mut same = true;
    if let Some((shape, ids)) = tensors.ids(&format!("{name}.input_ids"))? {
        same = built.ids == ids;
        rows.sequence("input_ids", &shape, &built.ids, &ids);
    }
    if let Some((shape, mask)) = tensors.bytes(&format!("{name}.visual_mask"))? {
        rows.sequence("visual_mask", &shape, &built.mask, mask);
    }
    if !same {
        rows.skipped("everything after", "the prompt differs, so nothing computed from it can agree");
        return Ok(None);
    }
    let prompt = Prompt { ids: built.ids, images: tiled.into_iter().map(Image::new).collect() };
    Ok(Some(Prepared { prompt }))
}

fn tile(case: &Case, images: &Images, model: &Model) -> Result<Vec<ImageTiles>> {
    let mut all = Vec::new();
    for image in &case.images {
        let rgb: RgbImage = images.load(&image.file, None)?.image;
        let options = TileOptions { max_tiles: Some(image.max_num), budget: None };
        let prepared = model.preprocess(std::slice::from_ref(&rgb), &options)?;
        all.extend(prepared.images);
    }
    Ok(all)
}

fn compare_tiles(
    name: &str,
    tiled: &[ImageTiles],
    tensors: &Tensors,
    side: usize,
    rows: &mut Rows<'_>,
) -> Result<()> {
    if let Some((shape, expected)) = tensors.bytes(&format!("{name}.tiles_u8"))? {
        let got: Vec<u8> = tiled.iter().flat_map(|t| t.pixels()).copied().collect();
        rows.sequence("tiles_u8", &shape, &got, expected);
    }
    if let Some(expected) = tensors.numbers(&format!("{name}.pixel_values")).context("pixel_values")? {
        let got: Vec<f32> = tiled.iter().flat_map(ImageTiles::pixel_values).collect();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let tiles: usize = tiled.iter().map(ImageTiles::count).sum();
        let same = bits(&got) == bits(&expected.values);
        rows.exact("pixel_values", &shape_text(&[tiles, 3, side, side]), same, || {
            format!(
                "{} of {} values differ",
                got.iter().zip(&expected.values).filter(|(a, b)| a != b).count(),
                got.len()
            )
        });
    }
    Ok(())
}
