//! Images from files, and the frames of a video from a folder of them.

use crate::draw::Picture;
use crate::source::IMAGE_ENDINGS;
use anyhow::{Context, Result, ensure};
use monolens_engine::{Image, TileOptions};
use monolens_models::Model;
use monolens_models::image::{DecodeOptions, RgbImage, decode};
use monolens_models::prompt::frame_indices;
use std::path::{Path, PathBuf};

/// Largest image file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// An image with its name.
#[derive(Clone, Debug)]
pub struct Photo {
    /// File name, for people.
    pub name: String,
    /// Its pixels.
    pub rgb: RgbImage,
}

impl Photo {
    /// Decodes an encoded image.
    ///
    /// # Errors
    /// When the bytes are no image, a broken one, or too large.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let rgb = decode(bytes, &DecodeOptions::default()).with_context(|| name.to_owned())?;
        Ok(Self { name: name.to_owned(), rgb })
    }

    /// Reads an image file.
    ///
    /// # Errors
    /// As [`Photo::decode`], and when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self> {
        let unreadable = || format!("cannot read the image {}", path.display());
        let size = std::fs::metadata(path).with_context(unreadable)?.len();
        ensure!(
            size <= MAX_FILE_BYTES,
            "{}: expected at most {MAX_FILE_BYTES} bytes, got {size}",
            path.display()
        );
        let bytes = std::fs::read(path).with_context(unreadable)?;
        let mut photo = Self::decode(&path.display().to_string(), &bytes)?;
        if let Some(name) = path.file_name() {
            photo.name = name.to_string_lossy().into_owned();
        }
        Ok(photo)
    }

    /// So many of it side by side: an image that is cut into as many tiles if it is square.
    ///
    /// # Errors
    /// For more pixels than an image may have.
    pub fn side_by_side(&self, times: usize) -> Result<Self> {
        let row_bytes = 3 * self.rgb.width() as usize;
        let rows = self.rgb.pixels().chunks_exact(row_bytes);
        let pixels: Vec<u8> = rows.flat_map(|row| row.repeat(times)).collect();
        let width = u32::try_from(self.rgb.width() as usize * times)?;
        Ok(Self { name: self.name.clone(), rgb: RgbImage::new(width, self.rgb.height(), pixels)? })
    }

    /// The same a little brighter: to the prefix cache another image.
    ///
    /// # Errors
    /// None that the image itself does not have.
    pub fn brighter(&self, by: u8) -> Result<Self> {
        let pixels = self.rgb.pixels().iter().map(|p| p.saturating_add(by)).collect();
        let rgb = RgbImage::new(self.rgb.width(), self.rgb.height(), pixels)?;
        Ok(Self { name: self.name.clone(), rgb })
    }

    /// Its pixels for drawing.
    pub fn picture(&self) -> Picture {
        Picture {
            width: self.rgb.width() as usize,
            height: self.rgb.height() as usize,
            rgb: self.rgb.pixels().to_vec(),
        }
    }
}

/// The frames of a video: `segments` of the images in a folder, sorted by name with numbers in their order (spec §10).
///
/// # Errors
/// When the folder cannot be read or holds no image.
pub fn frames(folder: &Path, segments: usize) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read the folder of frames {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        if path.is_file() && ending.is_some_and(|e| IMAGE_ENDINGS.contains(&e.as_str())) {
            files.push(path);
        }
    }
    ensure!(
        !files.is_empty(),
        "{}: expected images as the frames of a video ({}), found none",
        folder.display(),
        IMAGE_ENDINGS.join(", ")
    );
    files.sort_by_cached_key(|path| natural(&path.file_name().unwrap_or_default().to_string_lossy()));
    // A video with no more frames than wanted is shown whole.
    if files.len() <= segments {
        return Ok(files);
    }
    Ok(frame_indices(files.len(), segments, None).into_iter().filter_map(|i| files.get(i).cloned()).collect())
}

/// A key that puts `frame9` before `frame10`: runs of digits count by value.
fn natural(name: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let after = &rest[text..];
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        key.push((rest[..text].to_owned(), after[..digits].parse().unwrap_or(0)));
        rest = &after[digits..];
    }
    key
}

/// Cuts photos into tiles.
///
/// # Errors
/// When there are more images than a prompt can have.
pub fn tile(model: &Model, photos: &[Photo], options: &TileOptions) -> Result<(Vec<Image>, Option<String>)> {
    let rgb: Vec<RgbImage> = photos.iter().map(|p| p.rgb.clone()).collect();
    let prepared = model.preprocess(&rgb, options)?;
    Ok((prepared.images.into_iter().map(Image::new).collect(), prepared.warning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for i in [10, 9, 100, 1] {
            std::fs::write(folder.path().join(format!("frame{i}.png")), b"").unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), b"").unwrap();
        let name = |p: &PathBuf| p.file_name().unwrap().to_string_lossy().into_owned();
        let all: Vec<String> = frames(folder.path(), 8).unwrap().iter().map(name).collect();
        assert_eq!(all, ["frame1.png", "frame9.png", "frame10.png", "frame100.png"]);
        let two: Vec<String> = frames(folder.path(), 2).unwrap().iter().map(name).collect();
        assert_eq!(two, ["frame1.png", "frame10.png"]);
        let empty = tempfile::tempdir().unwrap();
        assert!(frames(empty.path(), 8).unwrap_err().to_string().contains("found none"));
    }

    #[test]
    fn a_file_that_is_no_image_is_named() {
        let error = format!("{:#}", Photo::decode("a.png", b"hello, I am text").unwrap_err());
        assert!(error.starts_with("a.png: image: expected PNG"), "{error}");
    }
}
