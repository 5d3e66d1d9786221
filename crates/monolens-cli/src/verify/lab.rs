//! A model folder opened for verification: f32 arithmetic, settings changed where a variant asks.

use crate::args::DeviceArgs;
use crate::session::device_line;
use anyhow::{Context, Result, ensure};
use monolens_engine::{Engine, EngineOptions, open_backend};
use monolens_models::checkpoint::{Checkpoint, CheckpointError, DType, TensorInfo, TensorSource};
use monolens_models::config::{GenerationConfig, ModelConfig};
use monolens_models::tokenizer::Tokenizer;
use monolens_models::{Model, ModelParts};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// What differs from the folder as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Keys of `llm_config`.
    pub llm_config: Map<String, Value>,
    /// Round the weights to bf16.
    pub round_weights: bool,
    /// The device's fastest arithmetic instead of f32.
    pub fast: bool,
    /// Prompt rows in a step, if not the default.
    pub chunk: Option<usize>,
}

/// Why a lab could not be opened.
pub enum Unopened {
    /// The device: nothing can be verified.
    Device(anyhow::Error),
    /// The model: that is a finding.
    Model(anyhow::Error),
}

/// A loaded model.
pub struct Lab {
    /// The engine.
    pub engine: Engine,
    /// The device in a line.
    pub device: String,
}

impl Lab {
    /// Opens a folder.
    pub fn open(folder: &Path, change: &Change, device: &DeviceArgs) -> Result<Self, Unopened> {
        let model = model(folder, change).map_err(Unopened::Model)?;
        let choice = DeviceArgs { exact: !change.fast, ..device.clone() }.choice();
        let opened = pollster::block_on(open_backend(&choice)).map_err(|e| Unopened::Device(e.into()))?;
        let line = device_line(opened.backend.device());
        let mut options = EngineOptions { prefix_cache: false, ..EngineOptions::default() };
        if !change.fast {
            options.kv_dtype = Some(monolens_graph::DType::F32);
        }
        if let Some(chunk) = change.chunk {
            options.chunk = chunk;
        }
        let mut go_on = |_: monolens_engine::Progress<'_>| ControlFlow::Continue(());
        let loaded = Engine::load(Arc::new(model), opened.backend, options, &mut go_on);
        let engine = pollster::block_on(loaded).map_err(|e| Unopened::Model(e.into()))?;
        Ok(Self { engine, device: line })
    }
}

fn model(folder: &Path, change: &Change) -> Result<Model> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    let mut config: Value = serde_json::from_slice(&read("config.json")?).context("config.json")?;
    if !change.llm_config.is_empty() {
        let llm = config.get_mut("llm_config").and_then(Value::as_object_mut);
        let llm = llm.context("config.json: expected an object llm_config, found none")?;
        llm.extend(change.llm_config.clone());
    }
    let checkpoint = Checkpoint::open(folder)?;
    let tensors: Arc<dyn TensorSource> = match change.round_weights {
        true => Arc::new(Rounded::new(checkpoint)?),
        false => Arc::new(checkpoint),
    };
    let parts = ModelParts {
        config: ModelConfig::from_json(config.to_string().as_bytes())?,
        generation: GenerationConfig::default(),
        tokenizer: Tokenizer::open(folder)?,
        tensors,
    };
    Ok(Model::from_parts(parts)?)
}

/// A checkpoint with its weights rounded to bf16.
struct Rounded {
    checkpoint: Checkpoint,
    infos: BTreeMap<String, TensorInfo>,
}

impl Rounded {
    fn new(checkpoint: Checkpoint) -> Result<Self> {
        let mut infos = BTreeMap::new();
        for name in checkpoint.names() {
            let info = checkpoint.info(name).with_context(|| format!("tensor {name}"))?;
            ensure!(info.dtype.is_weight(), "tensor {name}: expected a weight, got {}", info.dtype.name());
            let range = 0..info.elements() * DType::BF16.size();
            infos
                .insert(name.to_owned(), TensorInfo { dtype: DType::BF16, shape: info.shape.clone(), range });
        }
        Ok(Self { checkpoint, infos })
    }
}

impl TensorSource for Rounded {
    fn names(&self) -> Vec<&str> {
        self.infos.keys().map(String::as_str).collect()
    }

    fn info(&self, tensor: &str) -> Option<&TensorInfo> {
        self.infos.get(tensor)
    }

    fn bytes(&self, tensor: &str) -> Result<Cow<'_, [u8]>, CheckpointError> {
        let values = self.checkpoint.values(tensor)?;
        Ok(values.into_iter().flat_map(|v| half::bf16::from_f32(v).to_le_bytes()).collect())
    }
}
