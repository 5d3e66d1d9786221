//! A compiler for WebAssembly: rustup's, else one from Debian's packages in a folder of its own.

use crate::{apt, root, run};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
/// A rustc that Debian keeps current for browsers, and the source of its standard library.
const PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

/// Where the compiler comes from.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// rustup's if it has the target or can get it, else Debian's
    #[default]
    Auto,
    /// The `rustc` in use, with its own standard library
    Rustup,
    /// Debian's packages, unpacked below `target/`
    Debian,
}

/// The compiler to use in place of the usual one, if that one cannot make WebAssembly.
///
/// # Errors
/// Says what to install where none can be had.
pub fn rustc(choice: Choice) -> Result<Option<PathBuf>> {
    if choice != Choice::Debian && (has_target() || add_target()) {
        return Ok(None);
    }
    if choice == Choice::Rustup || !apt::is_usable() {
        bail!("this Rust has no standard library for {TARGET}: run `rustup target add {TARGET}`");
    }
    debian().map(Some)
}

fn has_target() -> bool {
    let printed = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    printed.is_ok_and(|o| o.status.success() && Path::new(String::from_utf8_lossy(&o.stdout).trim()).is_dir())
}

fn add_target() -> bool {
    println!("No standard library for {TARGET}: asking rustup for it");
    let added = Command::new("rustup").args(["target", "add", TARGET]).status();
    added.is_ok_and(|status| status.success()) && has_target()
}

/// Unpacks Debian's compiler and builds the standard library with it, once.
fn debian() -> Result<PathBuf> {
    let dir = root().canonicalize()?.join("target/wasm-toolchain");
    let (rustc, ready) = (dir.join("rustc"), dir.join("ready"));
    if ready.exists() {
        return Ok(rustc);
    }
    println!("Making a compiler for {TARGET} from {} in {}", PACKAGES.join(" and "), dir.display());
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    unpack(&dir)?;
    let usr = dir.join("usr");
    let libraries = format!("{0}/usr/lib/x86_64-linux-gnu:{0}/lib/x86_64-linux-gnu", dir.display());
    let script =
        format!("#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' exec '{}/bin/rustc' \"$@\"\n", usr.display());
    fs::write(&rustc, script)?;
    run(Command::new("chmod").arg("+x").arg(&rustc))?;
    link_parts(&usr)?;
    build_std(&dir, &rustc, &usr)?;
    fs::write(ready, "")?;
    Ok(rustc)
}

/// Downloads the packages and all that they need and this machine lacks; installs nothing.
fn unpack(dir: &Path) -> Result<()> {
    let archives = dir.join("archives");
    fs::create_dir_all(archives.join("partial"))?;
    apt::update()?;
    let mut download = Command::new("apt-get");
    download.args(["install", "-y", "-q", "--no-install-recommends", "--download-only"]);
    download.arg("-o").arg(format!("Dir::Cache::archives={}", archives.display()));
    run(download.args(["-o", "APT::Sandbox::User=root"]).args(PACKAGES))?;
    for entry in fs::read_dir(&archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&path).arg(dir))?;
        }
    }
    fs::remove_dir_all(archives)?;
    Ok(())
}

/// The source where cargo looks for it, and the usual toolchain's linker where Debian's rustc does.
fn link_parts(usr: &Path) -> Result<()> {
    let rustlib = usr.join("lib/rustlib");
    let mut sources = fs::read_dir(usr.join("src"))?.filter_map(|entry| Some(entry.ok()?.path()));
    let source =
        sources.find(|path| path.join("library").is_dir()).context("no source of the standard library")?;
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output()?.stdout;
    let linker = Path::new(String::from_utf8_lossy(&sysroot).trim())
        .join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld");
    ensure!(linker.exists(), "expected a linker at {}", linker.display());
    let bin = rustlib.join("x86_64-unknown-linux-gnu/bin");
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(rustlib.join("src"))?;
    link(&source, &rustlib.join("src/rust"))?;
    link(&linker, &bin.join("rust-lld"))
}

fn link(to: &Path, at: &Path) -> Result<()> {
    run(Command::new("ln").arg("-sfn").arg(to).arg(at))
}

/// Builds the standard library into the compiler's own folder, so that later builds are plain ones.
fn build_std(dir: &Path, rustc: &Path, usr: &Path) -> Result<()> {
    let package = dir.join("std");
    fs::create_dir_all(package.join("src"))?;
    fs::write(package.join("src/lib.rs"), "#![no_std]\n")?;
    let manifest = "[package]\nname = \"nothing\"\nedition = \"2021\"\n[workspace]\n[profile.release]\npanic = \"abort\"\n";
    fs::write(package.join("Cargo.toml"), manifest)?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "-Zbuild-std=std,panic_abort", "--target", TARGET]);
    cargo.arg("--manifest-path").arg(package.join("Cargo.toml"));
    cargo.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Cembed-bitcode=yes");
    run(cargo.env("CARGO_TARGET_DIR", package.join("target")))?;
    let libraries = usr.join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&libraries)?;
    for entry in fs::read_dir(package.join("target").join(TARGET).join("release/deps"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with("libnothing") {
            fs::copy(&path, libraries.join(name))?;
        }
    }
    Ok(fs::remove_dir_all(package)?)
}
