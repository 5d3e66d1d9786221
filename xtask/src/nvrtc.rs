//! NVRTC, the CUDA compiler as a library, for the test that compiles every kernel: a pinned Python wheel in `target/nvrtc`.

use crate::root;
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// CUDA 13.0: newer output would not load on older drivers, and it knows all architectures that are tested.
const WHEEL: &str = "nvidia-cuda-nvrtc==13.0.88";

/// The folder with the library; fetches it with pip where it is not there yet.
///
/// # Errors
/// What is missing: Python with pip, or the network.
pub fn ensure() -> Result<PathBuf> {
    let folder = root().join("target/nvrtc");
    let libraries = folder.join("nvidia/cu13/lib");
    if libraries.join("libnvrtc.so.13").exists() {
        return Ok(libraries);
    }
    println!("Fetching {WHEEL} into target/nvrtc");
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target"]);
    crate::run(pip.arg(&folder).arg(WHEEL))?;
    if !libraries.join("libnvrtc.so.13").exists() {
        bail!("{WHEEL} has no {}", libraries.display());
    }
    Ok(libraries)
}
