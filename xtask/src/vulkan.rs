//! A Vulkan device for the GPU tests: the machine's own, else Mesa's software device.

use crate::apt;
use anyhow::{Result, bail};
use std::path::Path;

const ICD_FOLDERS: [&str; 3] =
    ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"];
const PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

/// Says which driver manifests are there; installs Mesa's where none is and apt can be used.
///
/// # Errors
/// Names the packages to install where this cannot install them.
pub fn ensure() -> Result<String> {
    if let Some(found) = find() {
        return Ok(found);
    }
    if apt::is_usable() {
        println!("No Vulkan driver found: installing {}", PACKAGES.join(" "));
        apt::install(&PACKAGES)?;
        if let Some(found) = find() {
            return Ok(found);
        }
    }
    bail!("no Vulkan driver: install {} (Debian, Ubuntu) or your GPU's driver", PACKAGES.join(" and "))
}

fn find() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("the system's own".into());
    }
    if let Some(files) = std::env::var_os("VK_DRIVER_FILES") {
        return Some(files.to_string_lossy().into_owned());
    }
    let loader = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    if !loader.iter().any(|dir| Path::new(dir).join("libvulkan.so.1").exists()) {
        return None;
    }
    let manifests = ICD_FOLDERS.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    let names: Vec<_> = manifests.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}
