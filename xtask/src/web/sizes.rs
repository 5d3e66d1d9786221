//! Sizes of what a visitor downloads.

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Bytes of a file as it is and as a server sends it.
#[derive(Clone, Copy)]
pub struct Size {
    /// As it is.
    pub raw: usize,
    /// Compressed by gzip at its best.
    pub gzipped: usize,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kb = |bytes: usize| bytes as f64 / 1000.0;
        write!(f, "{:.1} kB, {:.1} kB gzipped", kb(self.raw), kb(self.gzipped))
    }
}

/// Size of a file.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(path: &Path) -> Result<Size> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bytes)?;
    Ok(Size { raw: bytes.len(), gzipped: encoder.finish()?.len() })
}
