//! Which model and which images a command line means.

use crate::args::Cli;
use crate::bundled;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, CommandFactory};
use monolens_models::checkpoint::{Checkpoint, DType};
use monolens_models::config::{GenerationConfig, MAX_CONFIG_BYTES, ModelConfig};
use monolens_models::random::Preset;
use monolens_models::tokenizer::Tokenizer;
use monolens_models::{Model, ModelParts};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Endings of image files that are read.
pub const IMAGE_ENDINGS: [&str; 9] = ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "dib"];

/// Files beside the weights that are larger are left alone, in bytes.
const LARGEST_COMPANION: u64 = 64 << 20;

/// A random model in place of a checkpoint.
#[derive(Args, Clone, Debug, Default)]
pub struct RandomArgs {
    /// Random weights of this size instead of a MODEL: mono-2b, mono15-2b, modular-2b or tiny
    #[arg(long, value_name = "PRESET", value_parser = preset, help_heading = "Model")]
    pub random: Option<Preset>,
}

fn preset(name: &str) -> Result<Preset, String> {
    name.parse::<Preset>().map_err(|error| error.to_string())
}

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The one in the binary.
    Bundled,
    /// A folder in the Hugging Face layout.
    Folder(PathBuf),
    /// A safetensors file with the other files beside it.
    File(PathBuf),
    /// Made up.
    Random(Preset),
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|e| endings.contains(&e.as_str()))
}

/// What to say of a command's name that was taken for a path, because options stood before it.
fn command_hint(path: &Path) -> String {
    let cli = Cli::command();
    let known = path.to_str().and_then(|name| cli.find_subcommand(name));
    known.map_or_else(String::new, |command| {
        let name = command.get_name();
        format!(" (the command `{name}` goes before all options: monolens {name} ..)")
    })
}

/// Splits paths into the model and the images: a folder or `.safetensors` file in front is the model.
///
/// # Errors
/// When the first path is nothing that can be either.
pub fn split(random: &RandomArgs, paths: &[PathBuf]) -> Result<(ModelSource, Vec<PathBuf>)> {
    let Some((first, rest)) = paths.split_first() else {
        return Ok((random.random.map_or(ModelSource::Bundled, ModelSource::Random), Vec::new()));
    };
    let is_image = has_ending(first, &IMAGE_ENDINGS);
    let model = if first.is_dir() {
        Some(ModelSource::Folder(first.clone()))
    } else if has_ending(first, &["safetensors"]) {
        Some(ModelSource::File(first.clone()))
    } else {
        ensure!(
            first.exists() || is_image,
            "{}: expected a model folder (config.json, tokenizer.model, model.safetensors), a .safetensors file or an image, found nothing there{}",
            first.display(),
            command_hint(first)
        );
        None
    };
    let (source, images) = match (model, random.random) {
        (Some(_), Some(preset)) => {
            bail!("expected either a MODEL or --random {}, got both ({})", preset.name(), first.display())
        }
        (Some(model), None) => (model, rest.to_vec()),
        (None, Some(preset)) => (ModelSource::Random(preset), paths.to_vec()),
        (None, None) => (ModelSource::Bundled, paths.to_vec()),
    };
    if let Some(folder) = images.iter().find(|p| p.is_dir()) {
        bail!(
            "{}: expected an image file, got a folder (for the frames of a video use --video)",
            folder.display()
        );
    }
    Ok((source, images))
}

impl ModelSource {
    /// The source that an optional MODEL argument means.
    ///
    /// # Errors
    /// When there is nothing at that path, or an image.
    pub fn of(random: &RandomArgs, model: Option<&PathBuf>) -> Result<Self> {
        let (source, images) = split(random, model.map(std::slice::from_ref).unwrap_or_default())?;
        match images.first() {
            None => Ok(source),
            Some(other) => bail!(
                "{}: expected a model folder or a .safetensors file (`run` takes pictures there, `chat` with -i)",
                other.display()
            ),
        }
    }

    /// Its name for people.
    pub fn name(&self) -> String {
        match self {
            Self::Bundled => bundled::NAME.to_owned(),
            Self::Folder(path) | Self::File(path) => path.display().to_string(),
            Self::Random(preset) => format!("random {}", preset.name()),
        }
    }

    /// A name without its path, for those who only see the model from afar.
    pub fn short_name(&self) -> String {
        let of_path = |path: &Path, name: fn(&Path) -> Option<&std::ffi::OsStr>| {
            // `.` and the like have no name of their own.
            let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            name(&whole).map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
        };
        match self {
            Self::Bundled => bundled::SHORT_NAME.to_owned(),
            Self::Folder(path) => of_path(path, Path::file_name),
            Self::File(path) => of_path(path, Path::file_stem),
            Self::Random(preset) => format!("random-{}", preset.name()),
        }
    }

    /// Opens it: reads the configuration and the tokenizer, maps the weights.
    ///
    /// # Errors
    /// When a file is missing, unreadable or says what the engine cannot run.
    pub fn open(&self) -> Result<Arc<Model>> {
        let model = match self {
            Self::Bundled => bundled::model(),
            Self::Folder(path) => Model::open(path).map_err(anyhow::Error::from),
            Self::File(path) => open_file(path),
            Self::Random(preset) => Ok(Model::random(*preset, DType::BF16, 1, None)?),
        };
        model.map(Arc::new).with_context(|| format!("cannot open the model {}", self.name()))
    }

    /// The files that a checkpoint has beside its weights, by name: `config.json`, the tokenizer and the like.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn companions(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let is_weights = |name: &str| {
            let name = Path::new(name);
            has_ending(name, &["safetensors", "bin", "pt", "pth", "gguf"])
                || name.to_string_lossy().ends_with(".index.json")
        };
        let folder = match self {
            Self::Bundled => {
                let files = bundled::files().iter().filter(|(name, _)| !is_weights(name));
                return Ok(files.map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect());
            }
            Self::Random(preset) => {
                let tokenizer = monolens_models::random::TINY_TOKENIZER.to_vec();
                let config = preset.config_json().into_bytes();
                return Ok(vec![("config.json".into(), config), ("tokenizer.model".into(), tokenizer)]);
            }
            Self::Folder(path) => path.as_path(),
            Self::File(path) => path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        };
        let mut files = Vec::new();
        let entries =
            std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let size = path.metadata().map_or(u64::MAX, |m| m.len());
            if path.is_file() && !is_weights(&name) && size <= LARGEST_COMPANION {
                files.push((
                    name,
                    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?,
                ));
            }
        }
        files.sort();
        Ok(files)
    }

    /// What the user should know about it before its answers.
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Bundled if bundled::IS_STAND_IN => Some(
                "the bundled checkpoint is a random stand-in: its answers mean nothing. Name a model folder for real ones"
                    .into(),
            ),
            Self::Random(_) => Some("random weights: the answer means nothing".into()),
            _ => None,
        }
    }
}

/// A model of one safetensors file, its other files beside it.
fn open_file(path: &Path) -> Result<Model> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let generation = folder.join("generation_config.json");
    let parts = ModelParts {
        config: ModelConfig::from_json(&read(&folder.join("config.json"))?)?,
        generation: match generation.is_file() {
            true => GenerationConfig::from_json(&read(&generation)?)?,
            false => GenerationConfig::default(),
        },
        tokenizer: Tokenizer::open(folder)?,
        tensors: Arc::new(Checkpoint::open_file(path)?),
    };
    Ok(Model::from_parts(parts)?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    ensure!(
        size <= MAX_CONFIG_BYTES as u64,
        "{}: expected at most {MAX_CONFIG_BYTES} bytes, got {size}",
        path.display()
    );
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_front_is_the_model() {
        let folder = tempfile::tempdir().unwrap();
        let none = RandomArgs::default();
        let paths = [folder.path().to_owned(), PathBuf::from("a.png"), PathBuf::from("b.JPG")];
        let (source, images) = split(&none, &paths).unwrap();
        assert_eq!(source, ModelSource::Folder(folder.path().to_owned()));
        assert_eq!(images.len(), 2);
        let (source, images) = split(&none, &paths[1..]).unwrap();
        assert_eq!((source, images.len()), (ModelSource::Bundled, 2));
        let wrong = [PathBuf::from("a.png"), folder.path().to_owned()];
        assert!(split(&none, &wrong).unwrap_err().to_string().contains("--video"));
        let tiny = RandomArgs { random: Some(Preset::Tiny) };
        assert_eq!(split(&tiny, &paths[1..]).unwrap().0, ModelSource::Random(Preset::Tiny));
        assert!(split(&tiny, &paths).unwrap_err().to_string().contains("got both"));
    }

    #[test]
    fn a_short_name_has_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("my-model");
        std::fs::create_dir(&model).unwrap();
        assert_eq!(ModelSource::Folder(model.join("../my-model")).short_name(), "my-model");
        assert_eq!(ModelSource::File(PathBuf::from("a/b.safetensors")).short_name(), "b");
        assert_eq!(ModelSource::Random(Preset::Tiny).short_name(), "random-tiny");
        assert!(!ModelSource::Bundled.short_name().contains(' '));
    }

    #[test]
    fn a_model_that_is_not_there_is_named() {
        let error = split(&RandomArgs::default(), &[PathBuf::from("no/such/model")]).unwrap_err();
        assert!(error.to_string().contains("no/such/model: expected a model folder"), "{error}");
    }
}
