//! Writes a checkpoint whose weights are integers in groups.

use super::{PACKED, Quantization, QuantizationConfig, Quantizer, RoundingError, SCALE, SHAPE};
use crate::checkpoint::{CheckpointError, DType, TensorSource};
use crate::graphs::DecoderOptions;
use crate::model::{Model, ModelError};
use crate::weights::Supply;
use monolens_graph::Grouped;
use safetensors::{Dtype, View};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;
use thiserror::Error;

/// A conversion that cannot be done.
#[derive(Debug, Error)]
pub enum ConvertError {
    /// The model or its checkpoint.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor of the checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The file could not be written.
    #[error("{file}: {reason}")]
    Write {
        /// The file.
        file: String,
        /// What the system or the format said.
        reason: String,
    },
    /// There is nothing to do.
    #[error("expected a checkpoint with weights in floats, got one whose weights are in groups already")]
    Nothing,
    /// `progress` said so.
    #[error("the conversion was cancelled")]
    Cancelled,
}

/// What a conversion has made.
#[derive(Debug)]
pub struct Converted {
    /// Names of the files, in the folder that was given.
    pub files: Vec<String>,
    /// Of each weight that was rounded: its name, its format and the error, in the order of names.
    pub errors: Vec<(String, Grouped, RoundingError)>,
    /// Bytes of all tensors.
    pub bytes: u64,
    /// The value of `quantization_config` for `config.json`.
    pub config: Value,
}

/// Told the bytes written and the tensor at hand; may end the conversion.
type OnProgress<'a> = dyn FnMut(u64, &str) -> ControlFlow<()> + 'a;

/// Where the bytes of a tensor to be written come from.
enum Source {
    Copy,
    Words(Grouped),
    Scales(Grouped),
    Shape([u64; 2]),
}

/// A tensor to be written; its bytes are made when they are asked for.
struct Tensor<'a> {
    job: &'a Job<'a>,
    /// The stored tensor.
    from: String,
    source: Source,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: usize,
}

/// What all tensors of a conversion share.
struct Job<'a> {
    tensors: &'a dyn TensorSource,
    /// Scales of weights whose integers were made, until they are written.
    scales: RefCell<HashMap<String, Vec<u8>>>,
    errors: RefCell<BTreeMap<String, (Grouped, RoundingError)>>,
    /// The first thing that went wrong; the format's writer cannot be told.
    failure: RefCell<Option<ConvertError>>,
    progress: RefCell<&'a mut OnProgress<'a>>,
}

impl Job<'_> {
    /// Rounds a weight: its words, and its scales kept for later.
    fn round(&self, name: &str, format: Grouped) -> Result<Vec<u8>, CheckpointError> {
        self.tensors.scan_finite(name)?;
        let mut quantizer = Quantizer::new(format);
        let mut words = Vec::new();
        quantizer.push(&self.tensors.values(name)?, &mut words);
        let (scales, error) = quantizer.finish();
        self.scales.borrow_mut().insert(name.to_owned(), scales);
        self.errors.borrow_mut().insert(name.to_owned(), (format, error));
        Ok(words)
    }
}

impl Tensor<'_> {
    fn make(&self) -> Result<Cow<'_, [u8]>, ConvertError> {
        let job = self.job;
        if job.failure.borrow().is_some() {
            return Ok(Cow::Owned(vec![0; self.bytes]));
        }
        let bytes = match self.source {
            Source::Copy => job.tensors.bytes(&self.from)?,
            Source::Shape(shape) => Cow::Owned(shape.iter().flat_map(|n| n.to_le_bytes()).collect()),
            Source::Words(format) => Cow::Owned(job.round(&self.from, format)?),
            Source::Scales(format) => {
                let made = job.scales.borrow_mut().remove(&self.from);
                match made {
                    Some(scales) => Cow::Owned(scales),
                    None => {
                        job.round(&self.from, format)?;
                        Cow::Owned(job.scales.borrow_mut().remove(&self.from).unwrap_or_default())
                    }
                }
            }
        };
        if (job.progress.borrow_mut())(bytes.len() as u64, &self.from).is_break() {
            return Err(ConvertError::Cancelled);
        }
        Ok(bytes)
    }
}

impl View for &Tensor<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.make().unwrap_or_else(|error| {
            self.job.failure.borrow_mut().get_or_insert(error);
            Cow::Owned(vec![0; self.bytes])
        })
    }

    fn data_len(&self) -> usize {
        self.bytes
    }
}

/// Writes a model's weights, rounded, into `folder`: `model.safetensors`, or shards of at most `shard_bytes` (at least one
/// tensor each) with their index. One tensor at a time is in memory. `progress` is told the bytes and the name of each
/// tensor as it is written, and may end it.
///
/// # Errors
/// [`ConvertError`]; the folder then holds unfinished files.
pub fn convert(
    model: &Model,
    wish: Quantization,
    folder: &Path,
    shard_bytes: u64,
    progress: &mut OnProgress<'_>,
) -> Result<Converted, ConvertError> {
    let rounded = rounded_weights(model, wish)?;
    if rounded.is_empty() {
        return Err(ConvertError::Nothing);
    }
    let job = Job {
        tensors: model.tensors(),
        scales: RefCell::default(),
        errors: RefCell::default(),
        failure: RefCell::default(),
        progress: RefCell::new(progress),
    };
    let all = tensors(&job, &rounded);
    let bytes = all.values().map(|t| t.bytes as u64).sum();
    let shards = shards(&all, shard_bytes);
    let name = |i: usize| match shards.len() {
        1 => "model.safetensors".to_owned(),
        n => format!("model-{:05}-of-{n:05}.safetensors", i + 1),
    };
    let mut files = Vec::new();
    let mut map = Map::new();
    for (i, shard) in shards.iter().enumerate() {
        let file = name(i);
        let path = folder.join(&file);
        let views = shard.iter().map(|&name| (name.as_str(), &all[name]));
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let written = safetensors::serialize_to_file(views, Some(metadata), &path);
        if let Some(failure) = job.failure.take() {
            return Err(failure);
        }
        written.map_err(|error| ConvertError::Write {
            file: path.display().to_string(),
            reason: error.to_string(),
        })?;
        // The writer's files are for their owner only; checkpoints are to be read.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let readable = std::fs::Permissions::from_mode(0o644);
            std::fs::set_permissions(&path, readable).map_err(|error| ConvertError::Write {
                file: path.display().to_string(),
                reason: error.to_string(),
            })?;
        }
        map.extend(shard.iter().map(|&name| (name.clone(), json!(file))));
        files.push(file);
    }
    if shards.len() > 1 {
        let index = json!({ "metadata": { "total_size": bytes }, "weight_map": map });
        let file = "model.safetensors.index.json".to_owned();
        std::fs::write(folder.join(&file), index.to_string())
            .map_err(|error| ConvertError::Write { file: file.clone(), reason: error.to_string() })?;
        files.push(file);
    }
    let config = quantization_config(wish, &rounded);
    let errors = job.errors.take().into_iter().map(|(name, (format, error))| (name, format, error)).collect();
    Ok(Converted { files, errors, bytes, config })
}

/// The weights to round, by name.
fn rounded_weights(model: &Model, wish: Quantization) -> Result<BTreeMap<String, Grouped>, ConvertError> {
    let vision = model.vision_graph(false).map_err(ModelError::from)?;
    let decoder = model.decoder_graph(&DecoderOptions::default()).map_err(ModelError::from)?;
    let mut rounded = BTreeMap::new();
    for weight in vision.weights.iter().chain(&decoder.weights) {
        if let Supply::Rounded(format) = model.supply(weight, Some(wish))? {
            rounded.insert(weight.name.clone(), format);
        }
    }
    Ok(rounded)
}

/// Everything that is to be written, by name.
fn tensors<'a>(job: &'a Job<'a>, rounded: &BTreeMap<String, Grouped>) -> BTreeMap<String, Tensor<'a>> {
    let mut all = BTreeMap::new();
    for name in job.tensors.names() {
        let Some(info) = job.tensors.info(name) else { continue };
        let tensor = |source, dtype, shape: Vec<usize>, bytes| Tensor {
            job,
            from: name.to_owned(),
            source,
            dtype,
            shape,
            bytes,
        };
        match (rounded.get(name), &info.shape[..]) {
            (Some(&format), &[rows, inner]) => {
                let base = name.trim_end_matches("weight");
                let words = inner / format.bits.per_word();
                let groups = format.groups(inner);
                let shape = Source::Shape([rows as u64, inner as u64]);
                all.insert(
                    format!("{base}{PACKED}"),
                    tensor(Source::Words(format), Dtype::I32, vec![rows, words], 4 * rows * words),
                );
                all.insert(
                    format!("{base}{SCALE}"),
                    tensor(Source::Scales(format), Dtype::F16, vec![rows, groups], 2 * rows * groups),
                );
                all.insert(format!("{base}{SHAPE}"), tensor(shape, Dtype::I64, vec![2], 16));
            }
            _ => {
                let bytes = info.bytes() as usize;
                all.insert(
                    name.to_owned(),
                    tensor(Source::Copy, dtype(info.dtype), info.shape.clone(), bytes),
                );
            }
        }
    }
    all
}

/// Names by shard, in their order.
fn shards<'t>(all: &'t BTreeMap<String, Tensor<'_>>, most: u64) -> Vec<Vec<&'t String>> {
    let mut shards: Vec<Vec<&String>> = vec![Vec::new()];
    let mut filled = 0;
    for (name, tensor) in all {
        if filled > 0 && filled + tensor.bytes as u64 > most {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += tensor.bytes as u64;
        if let Some(shard) = shards.last_mut() {
            shard.push(name);
        }
    }
    shards
}

/// One scheme for each format, with its modules.
fn quantization_config(wish: Quantization, rounded: &BTreeMap<String, Grouped>) -> Value {
    let mut schemes: Vec<(Grouped, Vec<String>)> = Vec::new();
    for (name, &format) in rounded {
        let module = name.trim_end_matches(".weight").to_owned();
        match schemes.iter_mut().find(|(known, _)| *known == format) {
            Some((_, modules)) => modules.push(module),
            None => schemes.push((format, vec![module])),
        }
    }
    QuantizationConfig::write(wish, &schemes, &[])
}

fn dtype(stored: DType) -> Dtype {
    match stored {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
