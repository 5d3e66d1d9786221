//! Debian's packages, where this may install them.

use crate::{is_root, run};
use anyhow::{Result, bail};
use std::path::Path;
use std::process::Command;

/// Whether packages can be had: `apt-get` is there, and this is root.
pub fn is_usable() -> bool {
    is_root() && Path::new("/usr/bin/apt-get").exists()
}

/// Fetches the lists of what there is.
///
/// # Errors
/// What `apt-get` says.
pub fn update() -> Result<()> {
    run(Command::new("apt-get").args(["update", "-q"]))
}

/// Installs packages.
///
/// # Errors
/// Names them where they cannot be installed.
pub fn install(packages: &[&str]) -> Result<()> {
    if !is_usable() {
        bail!("install {} (Debian, Ubuntu)", packages.join(" and "));
    }
    update()?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-q", "--no-install-recommends"]).args(packages);
    run(install.env("DEBIAN_FRONTEND", "noninteractive"))
}
