use super::*;
use crate::test_support::{golden, golden_json};
use sha2::{Digest, Sha256};

fn hex(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn number(value: &serde_json::Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn load(name: &str) -> RgbImage {
    decode(&golden(&format!("images/{name}")), &DecodeOptions::default()).unwrap()
}

fn config() -> ModelConfig {
    ModelConfig::from_json(&golden("mono-v1/config.json")).unwrap()
}

#[test]
fn every_golden_image_is_preprocessed_bit_for_bit() {
    let golden = golden_json("preprocess/preprocess.json");
    let cases = golden["cases"].as_array().unwrap();
    for case in cases {
        let name = case["image"].as_str().unwrap();
        // JPEG decoders differ among themselves: compare from the decoded PNG beside it.
        let jpeg = name.ends_with(".jpg");
        let file = if jpeg { format!("{name}.decoded.png") } else { name.to_owned() };
        let image = load(&file);
        assert_eq!(hex(image.pixels()), case["rgb_sha256"], "{name}: RGB");
        let side = number(&case["tile"]);
        let (min, max) = (number(&case["min_num"]), number(&case["max_num"]));
        let grid = choose_grid(image.width(), image.height(), side, min, max);
        assert_eq!((grid.columns, grid.rows), (number(&case["grid_cols"]), number(&case["grid_rows"])));
        let thumbnail = case["use_thumbnail"].as_bool().unwrap();
        let tiles = ImageTiles::new(&image, grid, side, thumbnail);
        assert_eq!(tiles.count(), number(&case["tiles"]));
        assert_eq!(hex(tiles.pixels()), case["u8_tiles_sha256"], "{name}: tiles");
        let values: Vec<u8> = tiles.pixel_values().iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(hex(&values), case["pixel_values_f32le_sha256"], "{name}: values");
    }
    assert_eq!(cases.len(), 12);
}

#[test]
fn every_golden_grid_is_chosen() {
    let golden = golden_json("preprocess/grids.json");
    let side = number(&golden["tile"]);
    let rows = golden["rows"].as_array().unwrap();
    assert!(rows.len() > 300);
    for row in rows {
        let row: Vec<usize> = row.as_array().unwrap().iter().map(number).collect();
        let grid = choose_grid(row[0] as u32, row[1] as u32, side, row[2], row[3]);
        assert_eq!((grid.columns, grid.rows), (row[4], row[5]), "{row:?}");
    }
}

#[test]
fn jpeg_decodes_within_a_few_levels_of_the_reference() {
    for name in ["wide_1024x300.jpg", "exif6_300x200.jpg"] {
        let ours = load(name);
        let theirs = load(&format!("{name}.decoded.png"));
        assert_eq!((ours.width(), ours.height()), (theirs.width(), theirs.height()));
        let far = ours.pixels().iter().zip(theirs.pixels());
        let worst = far.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 16, "{name}: {worst}");
    }
}

#[test]
fn orientation_is_ignored_unless_asked_for() {
    let bytes = golden("images/exif6_300x200.jpg");
    let plain = decode(&bytes, &DecodeOptions::default()).unwrap();
    assert_eq!((plain.width(), plain.height()), (300, 200));
    let options = DecodeOptions { apply_orientation: true, ..DecodeOptions::default() };
    let turned = decode(&bytes, &options).unwrap();
    assert_eq!((turned.width(), turned.height()), (200, 300));
}

#[test]
fn corrupt_and_empty_files_are_errors() {
    let options = DecodeOptions::default();
    assert!(matches!(decode(&[], &options), Err(ImageError::Format { .. })));
    assert!(matches!(decode(b"hello there", &options), Err(ImageError::Format { .. })));
    for name in ["rgb_333x500.png", "wide_1024x300.jpg", "pal_120x90.png"] {
        let bytes = golden(&format!("images/{name}"));
        assert!(decode(&bytes[..40], &options).is_err(), "{name}");
    }
}

#[test]
fn mutated_images_never_panic() {
    let mut rng = crate::random::SplitMix::new(7);
    let options = DecodeOptions { max_pixels: 1 << 20, max_bytes: 1 << 24, ..Default::default() };
    let files = ["tiny_64x64.png", "pal_120x90.png", "exif6_300x200.jpg"];
    for round in 0..300 {
        let mut bytes = golden(&format!("images/{}", files[round % 3]));
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(bytes.len());
            bytes[at] = rng.below(256) as u8;
        }
        let _ = decode(&bytes, &options);
    }
}

#[test]
fn images_beyond_the_limits_are_refused_before_decoding() {
    let bytes = golden("images/rgb_333x500.png");
    let few = DecodeOptions { max_pixels: 1000, ..DecodeOptions::default() };
    assert!(matches!(decode(&bytes, &few), Err(ImageError::TooLarge { .. })));
    let short = DecodeOptions { max_side: 400, ..DecodeOptions::default() };
    assert!(decode(&bytes, &short).is_err());
}

#[test]
fn extreme_shapes_are_tiled() {
    let line = RgbImage::new(30_000, 1, vec![200; 90_000]).unwrap();
    let config = config();
    let done = preprocess(&config, &[line], &TileOptions::default()).unwrap();
    assert_eq!(done.images[0].grid(), Grid { columns: 12, rows: 1 });
    assert!(done.images[0].pixels().iter().all(|&pixel| pixel == 200));
    let dot = RgbImage::new(1, 1, vec![9; 3]).unwrap();
    let done = preprocess(&config, &[dot], &TileOptions::default()).unwrap();
    assert_eq!((done.images[0].count(), done.warning), (1, None));
    assert!(RgbImage::new(0, 5, vec![]).is_err());
}

#[test]
fn more_tiles_than_the_budget_are_tiled_down_with_a_warning() {
    let config = config();
    let sizes = vec![(1200, 900); 4];
    let plan = plan_tiles(&config, &sizes, &TileOptions::default()).unwrap();
    assert!(plan.tiles <= MAX_TILES);
    assert!(plan.warning.unwrap().contains("52 tiles"));
    let small = TileOptions { max_tiles: Some(6), budget: Some(5) };
    let plan = plan_tiles(&config, &sizes[..1], &small).unwrap();
    assert!(plan.tiles <= 5 && plan.warning.is_some());
    let plan = plan_tiles(&config, &sizes[..1], &TileOptions::default()).unwrap();
    assert_eq!((plan.tiles, plan.warning), (13, None));
    let frames = vec![(640, 480); 40];
    assert_eq!(plan_tiles(&config, &frames, &TileOptions::FRAME).unwrap().tiles, 40);
    let frames = vec![(640, 480); 41];
    assert!(plan_tiles(&config, &frames, &TileOptions::FRAME).is_err());
}

#[test]
fn hashes_tell_contents_apart() {
    let a = RgbImage::new(2, 2, vec![1; 12]).unwrap();
    let b = RgbImage::new(2, 2, vec![2; 12]).unwrap();
    let hash = |image, side| ImageTiles::new(image, Grid::ONE, side, true).content_hash();
    assert_eq!(hash(&a, 28), hash(&a, 28));
    assert_ne!(hash(&a, 28), hash(&b, 28));
    assert_ne!(hash(&a, 28), hash(&a, 56));
}

/// The small images in `tests/images`, see `make.py` there.
fn own(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/");
    std::fs::read(format!("{folder}{name}")).unwrap()
}

#[test]
fn every_format_is_decoded_like_the_reference() {
    let expected: serde_json::Value = serde_json::from_slice(&own("expected.json")).unwrap();
    for (name, hash) in expected.as_object().unwrap() {
        let image = decode(&own(name), &DecodeOptions::default()).unwrap();
        assert_eq!((image.width(), image.height()), (24, 16));
        assert_eq!(hex(image.pixels()), *hash, "{name}");
    }
}

#[test]
fn cmyk_jpegs_come_out_in_their_colours() {
    let ours = decode(&own("cmyk.jpg"), &DecodeOptions::default()).unwrap();
    let theirs = decode(&own("cmyk.jpg.decoded.png"), &DecodeOptions::default()).unwrap();
    let far = ours.pixels().iter().zip(theirs.pixels());
    let mean = far.map(|(a, b)| f32::from(a.abs_diff(*b))).sum::<f32>() / ours.pixels().len() as f32;
    assert!(mean < 3.0, "mean difference {mean}");
}
