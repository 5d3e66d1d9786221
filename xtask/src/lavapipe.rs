//! A Chromium whose software WebGPU device is Mesa's lavapipe, for tests of what SwiftShader lacks (f16).
//!
//! A copy of Debian's Chromium (hard links) with `tests/browser/lavapipe/shim.c` in place of SwiftShader, and Mesa 25 from
//! Debian's backports unpacked beside it. Nothing is installed.

use crate::{is_root, root, run};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CHROMIUM: &str = "/usr/lib/chromium";
const PACKAGE: &str = "mesa-vulkan-drivers";
const LIBRARY: &str = "libvk_swiftshader.so";
const MANIFEST: &str = "vk_swiftshader_icd.json";
const SOURCES: &str = "/etc/apt/sources.list.d/debian.sources";

/// The browser's executable, made once below `target/`.
///
/// # Errors
/// Says what this machine lacks for it.
pub fn chromium() -> Result<PathBuf> {
    let dir = root().canonicalize()?.join("target/chromium-lavapipe");
    let (executable, ready) = (dir.join("chromium/chromium"), dir.join("ready"));
    if ready.exists() {
        return Ok(executable);
    }
    ensure!(is_root() && Path::new(SOURCES).exists(), "it is made from Debian's packages, by root");
    ensure!(Path::new(CHROMIUM).join(LIBRARY).exists(), "{CHROMIUM} is not Debian's Chromium");
    println!("Making a Chromium with {PACKAGE} from backports in {}", dir.display());
    if dir.exists() {
        fs::remove_dir_all(&dir)?;
    }
    let mesa = dir.join("mesa");
    fs::create_dir_all(&mesa)?;
    unpack_mesa(&dir, &mesa)?;
    let driver = mesa.join("usr/lib/x86_64-linux-gnu/libvulkan_lvp.so");
    ensure!(driver.exists(), "{PACKAGE} has no lavapipe for this machine");
    copy_browser(&dir, &driver)?;
    fs::write(ready, "")?;
    Ok(executable)
}

/// Downloads Mesa from backports through lists of its own, so that the system's stay as they are.
fn unpack_mesa(dir: &Path, mesa: &Path) -> Result<()> {
    let apt = dir.join("apt");
    for part in ["parts", "lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(part))?;
    }
    let known = fs::read_to_string(SOURCES)?;
    let field = |name: &str| known.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let mirror = field("URIs:").context("no URIs in debian.sources")?;
    let suite =
        field("Suites:").and_then(|all| all.split(' ').next()).context("no Suites in debian.sources")?;
    let keys = field("Signed-By:").context("no Signed-By in debian.sources")?;
    let backports = format!("{suite}-backports");
    let source = format!(
        "Types: deb\nURIs: {mirror}\nSuites: {suite} {backports}\nComponents: main\nSigned-By: {keys}\n"
    );
    fs::write(apt.join("parts/monolens.sources"), source)?;
    let options = [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        format!("Dir::Etc::sourceparts={}", apt.join("parts").display()),
        format!("Dir::State::lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
        "APT::Sandbox::User=root".to_owned(),
    ];
    let get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        options.iter().for_each(|option| {
            command.args(["-o", option]);
        });
        run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    get(&["update", "-q"])?;
    get(&["install", "-y", "-q", "--no-install-recommends", "--download-only", "-t", &backports, PACKAGE])?;
    for entry in fs::read_dir(apt.join("cache/archives"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&path).arg(mesa))?;
        }
    }
    Ok(fs::remove_dir_all(apt)?)
}

/// The browser with the shim as its software device; the compositor keeps SwiftShader.
fn copy_browser(dir: &Path, driver: &Path) -> Result<()> {
    let browser = dir.join("chromium");
    let copy = |how: &str| run(Command::new("cp").arg(how).arg(CHROMIUM).arg(&browser));
    if copy("-al").is_err() {
        // Another file system has no hard links to that one.
        let _ = fs::remove_dir_all(&browser);
        copy("-a")?;
    }
    for name in [LIBRARY, MANIFEST] {
        fs::remove_file(browser.join(name))?;
    }
    let manifest = format!(
        r#"{{"file_format_version": "1.0.0", "ICD": {{"library_path": "{CHROMIUM}/{LIBRARY}", "api_version": "1.0.5"}}}}"#
    );
    fs::write(browser.join(MANIFEST), manifest)?;
    let libraries = driver.parent().context("a driver without a folder")?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-fPIC", "-shared", "-fvisibility=hidden"]);
    compiler.arg(format!("-DDRIVER=\"{}\"", driver.display()));
    compiler.arg(format!("-Wl,--disable-new-dtags,-rpath,{}", libraries.display()));
    compiler.arg("-o").arg(browser.join(LIBRARY)).arg("tests/browser/lavapipe/shim.c").arg("-ldl");
    if run(&mut compiler).is_err() {
        bail!("no C compiler: install gcc");
    }
    Ok(())
}
