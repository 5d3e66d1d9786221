//! Golden data as files: `golden.json` and the tensors beside it.

use anyhow::{Context, Result, bail, ensure};
use monolens_models::checkpoint::{Checkpoint, DType, TensorSource, widen};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Largest JSON file that is read, in bytes.
const MAX_JSON_BYTES: u64 = 256 << 20;

/// `golden.json` of a model folder.
#[derive(Debug, Deserialize)]
pub struct Golden {
    /// Id of the image placeholder.
    pub img_context_token_id: Option<u32>,
    /// Visual tokens of a tile.
    pub tokens_per_tile: Option<usize>,
    /// Side of a tile in pixels.
    pub tile: Option<usize>,
    /// `none`, `qkv`, `qkvo` or `qkvo_chained`.
    pub visual_attention_experts: Option<String>,
    /// What the tensors were computed from.
    #[serde(default)]
    pub weights: String,
    /// Questions and what the reference made of them.
    pub cases: BTreeMap<String, Case>,
    /// Cases under changed weights or settings.
    #[serde(default)]
    pub variants: BTreeMap<String, Variant>,
    /// How far a true bf16 run is from f32.
    pub bf16_run: Option<Bf16Run>,
    /// Several cases in one padded batch.
    pub batch: Option<BatchRun>,
}

/// One question.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// The question, with `<image>` where images go.
    pub question: String,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Vec<(String, String)>,
    /// Images of all turns.
    #[serde(default)]
    pub images: Vec<CaseImage>,
    /// Tiles of each image.
    #[serde(default)]
    pub num_patches_list: Vec<usize>,
    /// Length of the prompt.
    pub n_tokens: Option<usize>,
    /// Visual tokens in it.
    pub n_visual: Option<usize>,
    /// The prompt, runs of placeholders as `<IMG_CONTEXT*n>`.
    pub prompt: Option<String>,
    /// Greedy ids.
    #[serde(default)]
    pub generated: Vec<u32>,
    /// Their text without special tokens.
    pub generated_text_skip_special: Option<String>,
    /// Their text.
    pub generated_text: Option<String>,
    /// The smallest distance of the best two logits.
    pub min_top2_margin: Option<f64>,
}

/// An image of a case.
#[derive(Clone, Debug, Deserialize)]
pub struct CaseImage {
    /// File name in the images folder.
    pub file: String,
    /// Most tiles, thumbnail not counted.
    pub max_num: usize,
    /// Tiles it has, thumbnail included.
    pub tiles: Option<usize>,
}

/// A case under changed circumstances.
#[derive(Clone, Debug, Deserialize)]
pub struct Variant {
    /// The case.
    pub case: String,
    /// Greedy ids.
    #[serde(default)]
    pub generated: Vec<u32>,
    /// Keys of `llm_config` to change.
    #[serde(default)]
    pub llm_config_override: Map<String, Value>,
    /// In words.
    #[serde(default)]
    pub note: String,
}

/// A run in bf16.
#[derive(Clone, Debug, Deserialize)]
pub struct Bf16Run {
    /// The case.
    pub case: String,
    /// Largest difference of its last logits to the f32 run.
    pub max_abs_diff_to_f32: f64,
}

/// A left-padded batch.
#[derive(Clone, Debug, Deserialize)]
pub struct BatchRun {
    /// The cases, a row each.
    pub cases: Vec<String>,
    /// The padding id.
    pub pad_token_id: Option<u32>,
    /// Greedy ids of each row.
    #[serde(default)]
    pub generated: Vec<Vec<u32>>,
}

/// Reads a JSON file of golden data.
///
/// # Errors
/// When it cannot be read, is too large or says something else than expected.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    ensure!(
        size <= MAX_JSON_BYTES,
        "{}: expected at most {MAX_JSON_BYTES} bytes, got {size}",
        path.display()
    );
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{}: expected golden data", path.display()))
}

/// The tensors of a golden file.
pub struct Tensors {
    path: PathBuf,
    file: Option<Checkpoint>,
}

/// A tensor of numbers.
pub struct Numbers {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Vec<f32>,
}

impl Tensors {
    /// Opens the tensor file of a golden JSON file: the same name ending in `.safetensors`. It may be missing.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn beside(json: &Path) -> Result<Self> {
        let path = json.with_extension("safetensors");
        let file = path.is_file().then(|| Checkpoint::open_file(&path)).transpose()?;
        Ok(Self { path, file })
    }

    /// Its file name.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
    }

    /// Whether it holds a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.shape(name).is_some()
    }

    /// A tensor's shape.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.as_ref()?.info(name).map(|i| i.shape.as_slice())
    }

    /// Names beginning with `prefix`, without it.
    pub fn names_under(&self, prefix: &str) -> Vec<String> {
        let names = self.file.as_ref().map(|f| f.names()).unwrap_or_default();
        names.into_iter().filter_map(|n| n.strip_prefix(prefix)).map(str::to_owned).collect()
    }

    fn read(&self, name: &str) -> Result<(DType, Vec<usize>, &[u8])> {
        let file = self.file.as_ref().with_context(|| format!("{} is missing", self.path.display()))?;
        let info =
            file.info(name).with_context(|| format!("{} has no tensor {name}", self.path.display()))?;
        Ok((info.dtype, info.shape.clone(), file.slice(name)?))
    }

    /// A tensor of numbers, if it is there.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn numbers(&self, name: &str) -> Result<Option<Numbers>> {
        if !self.has(name) {
            return Ok(None);
        }
        let (dtype, shape, bytes) = self.read(name)?;
        let values = widen(dtype, bytes);
        let Some(values) = values else {
            bail!("{}: tensor {name}: expected numbers, got {}", self.path.display(), dtype.name());
        };
        Ok(Some(Numbers { shape, values }))
    }

    /// A tensor of bytes or booleans, if it is there.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn bytes(&self, name: &str) -> Result<Option<(Vec<usize>, &[u8])>> {
        if !self.has(name) {
            return Ok(None);
        }
        let (dtype, shape, bytes) = self.read(name)?;
        let fits = matches!(dtype, DType::U8 | DType::Bool);
        ensure!(fits, "{}: tensor {name}: expected U8, got {}", self.path.display(), dtype.name());
        Ok(Some((shape, bytes)))
    }

    /// A tensor of ids, if it is there.
    ///
    /// # Errors
    /// When it is of another type, or an id is negative.
    pub fn ids(&self, name: &str) -> Result<Option<(Vec<usize>, Vec<u32>)>> {
        if !self.has(name) {
            return Ok(None);
        }
        let (dtype, shape, bytes) = self.read(name)?;
        let ids: Option<Vec<u32>> = match dtype {
            DType::I64 => {
                bytes.as_chunks::<8>().0.iter().map(|b| u32::try_from(i64::from_le_bytes(*b)).ok()).collect()
            }
            DType::I32 => {
                bytes.as_chunks::<4>().0.iter().map(|b| u32::try_from(i32::from_le_bytes(*b)).ok()).collect()
            }
            _ => None,
        };
        let ids = ids.with_context(|| {
            format!(
                "{}: tensor {name}: expected ids as I64 or I32, got {}",
                self.path.display(),
                dtype.name()
            )
        })?;
        Ok(Some((shape, ids)))
    }
}
