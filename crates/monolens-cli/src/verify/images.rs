//! The input images of golden data.

use super::preprocess::sha256;
use anyhow::{Context, Result};
use monolens_models::image::{DecodeOptions, RgbImage, decode};
use std::path::{Path, PathBuf};

/// A folder of images.
#[derive(Clone, Debug)]
pub struct Images {
    folder: Option<PathBuf>,
}

/// An image and what there is to know about how it was read.
pub struct Decoded {
    /// Its pixels.
    pub image: RgbImage,
    /// Said when the pixels came from the reference decoder's PNG.
    pub note: Option<String>,
}

impl Images {
    /// The folder that was named, or else `images` in the folder or beside it.
    pub fn find(named: Option<&Path>, folder: &Path) -> Self {
        let beside = folder.canonicalize().ok().and_then(|f| Some(f.parent()?.join("images")));
        let found = [Some(folder.join("images")), beside].into_iter().flatten().find(|f| f.is_dir());
        Self { folder: named.map(Path::to_owned).or(found) }
    }

    /// Reads an image. When its pixels are not the expected ones (JPEG decoders differ by a few levels) and
    /// `FILE.decoded.png` is beside it, that is taken.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn load(&self, file: &str, rgb_sha256: Option<&str>) -> Result<Decoded> {
        let folder = self.folder.as_deref().context(
            "expected a folder `images` in the golden folder or beside it, or --images DIR; found none",
        )?;
        let image = read(&folder.join(file))?;
        let differs = rgb_sha256.is_some_and(|expected| sha256(image.pixels()) != expected);
        let decoded = folder.join(format!("{file}.decoded.png"));
        if differs && decoded.is_file() {
            let note = "this JPEG decoder differs from the reference's; the PNG beside the file was taken";
            return Ok(Decoded { image: read(&decoded)?, note: Some(note.into()) });
        }
        Ok(Decoded { image, note: None })
    }
}

fn read(path: &Path) -> Result<RgbImage> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    decode(&bytes, &DecodeOptions::default()).with_context(|| path.display().to_string())
}
