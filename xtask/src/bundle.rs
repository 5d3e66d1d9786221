//! `cargo xtask gpu-bundle`: what `cuda/gpu-check` carries to a machine with a GPU and no Rust.

use crate::{root, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Test binaries that go along.
const TESTS: [&str; 2] = ["cuda_parity", "operator_parity"];

/// Builds the command and the parity tests and puts them, stripped, into `out/gpu-bundle`.
///
/// # Errors
/// The first step that fails.
pub fn build() -> Result<()> {
    let folder = root().join("out/gpu-bundle");
    fs::create_dir_all(&folder)?;
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(arguments);
        command
    };
    // The whole workspace: packages by themselves would be built with other features, and their dependencies again.
    run(&mut cargo(&["build", "--release", "--workspace", "--bin", "monolens"]))?;
    place(&root().join("target/release/monolens"), &folder.join("monolens"))?;
    for test in TESTS {
        let arguments =
            ["test", "--release", "--workspace", "--test", test, "--no-run", "--message-format=json"];
        let output = cargo(&arguments).current_dir(root()).output()?;
        if !output.status.success() {
            bail!("{test} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        let built = executable(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("no binary of {test}"))?;
        place(&built, &folder.join(test))?;
    }
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(root()).output()?;
    fs::write(folder.join("commit"), commit.stdout)?;
    let size: u64 = fs::read_dir(&folder)?.map(|e| Ok(e?.metadata()?.len())).sum::<Result<u64>>()?;
    println!(
        "\n{}: {:.1} MiB. On the machine with the GPU: cuda/gpu-check",
        folder.display(),
        size as f64 / 1048576.0
    );
    Ok(())
}

/// The executable that cargo names in its messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let (_, rest) = messages.rsplit_once("\"executable\":\"")?;
    Some(rest.split_once('"')?.0.into())
}

fn place(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    // Without symbols it is a fraction of the size; where there is no strip it is only larger.
    match Command::new("strip").arg(to).status() {
        Ok(status) if status.success() => {}
        _ => println!("{} is not stripped", to.display()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_executable_is_found() {
        let messages = "{\"reason\":\"x\",\"executable\":null}\n{\"executable\":\"/a/b-1\",\"fresh\":true}\n";
        assert_eq!(executable(messages), Some("/a/b-1".into()));
        assert_eq!(executable("{}"), None);
    }
}
