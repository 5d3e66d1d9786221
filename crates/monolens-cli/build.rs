//! Writes the list of files that the binary carries: the shipped checkpoint and the example image. While the
//! checkpoint is not there, the random one of the golden files stands in.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Files of a checkpoint that are needed to run it besides its weights, as far as they are there.
const FILES: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "tokenizer.model",
    "added_tokens.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let trained = root.join("models/mono-tiny");
    let stand_in = root.join("tests/golden/mono-v1");
    let examples = root.join("examples");
    for path in [&trained, &stand_in, &examples] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let is_model =
        |folder: &Path| folder.join("config.json").is_file() && !checkpoint_files(folder).is_empty();
    let (folder, is_stand_in) = if is_model(&trained) { (trained, false) } else { (stand_in, true) };
    let mut code = String::new();
    let files = if is_model(&folder) { checkpoint_files(&folder) } else { Vec::new() };
    list(&mut code, "CHECKPOINT", &files)?;
    let image = examples.join("example.png");
    let image = if image.is_file() { image } else { root.join("tests/golden/images/rgb_333x500.png") };
    let wanted = [image, examples.join("questions.json")];
    list(&mut code, "EXAMPLES", &wanted.into_iter().filter(|p| p.is_file()).collect::<Vec<_>>())?;
    let _ =
        writeln!(code, "/// Whether the checkpoint is random.\npub const IS_STAND_IN: bool = {is_stand_in};");
    let out =
        env::var_os("OUT_DIR").map(PathBuf::from).ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    fs::write(out.join("bundled.rs"), code)
}

/// The files of a checkpoint, sorted; none if there are no weights.
fn checkpoint_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let is_weights = name.ends_with(".safetensors") && !name.starts_with("golden");
            path.is_file() && (is_weights || FILES.contains(&name.as_str()))
        })
        .collect();
    files.sort();
    if files.iter().any(|f| f.extension().is_some_and(|e| e == "safetensors")) { files } else { Vec::new() }
}

/// A constant with the names and contents of files.
fn list(code: &mut String, name: &str, files: &[PathBuf]) -> io::Result<()> {
    let _ = writeln!(code, "/// Names and contents.\npub static {name}: &[(&str, &[u8])] = &[");
    for file in files {
        println!("cargo::rerun-if-changed={}", file.display());
        let path = file.canonicalize()?;
        let short = file.file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(code, "    ({short:?}, include_bytes!({:?})),", path.display().to_string());
    }
    code.push_str("];\n");
    Ok(())
}
