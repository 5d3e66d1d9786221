//! Loading: files, device, weights, programs.

use crate::border::{self, LoadOptions, LoadProgress};
use crate::engine::WasmEngine;
use crate::failure::Failure;
use crate::files::{FileReader, Files, ModelFiles};
use crate::{adapter, model, panics};
use js_sys::{Function, Promise};
use monolens_engine::{BackendChoice, Engine, EngineOptions, Opened, Stage, kv_type, open_backend};
use monolens_graph::Backend;
use monolens_graph::backend::DeviceInfo;
use monolens_models::Model;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// A listener: see `OnProgress` in `contract.ts`.
    #[wasm_bindgen(extends = Function, typescript_type = "OnProgress")]
    pub type OnProgress;

    /// See `LoadOptions` in `contract.ts`.
    #[wasm_bindgen(typescript_type = "LoadOptions")]
    pub type Options;
}

/// Loads the model of these files onto a device: see `WasmModule.load` in `contract.ts`.
#[wasm_bindgen(unchecked_return_type = "Promise<WasmEngine>")]
pub fn load(files: ModelFiles, options: Options, on_progress: OnProgress) -> Promise {
    panics::promise(async move {
        let options = border::from_js("options", options.into())?;
        let listener = Listener(on_progress);
        let loaded = Loaded::new(Files(Rc::new(files)), options, EngineOptions::default(), &listener).await?;
        Ok(WasmEngine::new(loaded).into())
    })
}

/// Tells JavaScript how far loading is.
pub(crate) struct Listener(pub OnProgress);

impl Listener {
    /// Nobody listens.
    pub fn nobody() -> Self {
        Self(Function::new_no_args("").unchecked_into())
    }

    fn tell(&self, progress: &LoadProgress<'_>) -> ControlFlow<()> {
        let answer = border::to_js(progress).map(|value| self.0.call1(&JsValue::UNDEFINED, &value));
        match answer {
            Ok(Ok(answer)) if answer != JsValue::FALSE => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }

    /// As the engine's listener.
    pub fn on_engine(&self) -> impl FnMut(monolens_engine::Progress<'_>) -> ControlFlow<()> {
        |at| {
            let stage = match at.stage {
                Stage::Weights => "weights",
                Stage::Programs => "programs",
            };
            self.tell(&LoadProgress { stage, done: at.done, total: at.total, name: at.name })
        }
    }

    fn on_file(&self) -> impl FnMut(&str, u64, u64) -> Result<(), Failure> {
        |name, done, total| match self.tell(&LoadProgress { stage: "files", done, total, name }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Failure::new("cancelled", "loading was cancelled")),
        }
    }
}

/// An engine, and what it takes to make it anew.
pub(crate) struct Loaded {
    pub engine: Engine,
    pub model: Arc<Model>,
    pub reader: Rc<FileReader>,
    pub choice: BackendChoice,
    pub device: OpenDevice,
}

/// Makes another backend on the same device, with the kernels that are compiled already.
pub(crate) type MakeBackend = Box<dyn Fn() -> Box<dyn Backend>>;

/// What is known of an open device besides the engine.
pub(crate) struct OpenDevice {
    pub name: String,
    pub reason: String,
    pub destroy: Option<Box<dyn Fn()>>,
    pub sibling: Option<MakeBackend>,
}

impl Loaded {
    pub async fn new(
        files: Files,
        options: LoadOptions,
        engine_options: EngineOptions,
        listener: &Listener,
    ) -> Result<Self, Failure> {
        let backend = options.backend.parse().map_err(|error| Failure::bad_request("options", error))?;
        let weights = options.weights.map(|weights| weights.parse()).transpose();
        let weights = weights.map_err(|error: String| Failure::bad_request("weights", error))?;
        let kv_dtype = options.kv.as_deref().map(kv_type).transpose();
        let kv_dtype = kv_dtype.map_err(|error| Failure::bad_request("kv", error))?;
        let choice = BackendChoice {
            backend,
            tier: options.tier,
            allow_software: options.allow_software,
            ..BackendChoice::default()
        };
        let (model, layout) = model::open(&files, &mut listener.on_file()).await?;
        let (opened, device) = open(&choice).await?;
        let reader = Rc::new(FileReader::new(files, layout));
        let kv_dtype = kv_dtype.or(engine_options.kv_dtype);
        let engine_options = EngineOptions { context: options.context, weights, kv_dtype, ..engine_options };
        let engine = engine(&model, &reader, opened.backend, engine_options, listener).await?;
        Ok(Self { engine, model, reader, choice, device })
    }
}

/// An engine of these files on a device that is open.
pub(crate) async fn engine(
    model: &Arc<Model>,
    reader: &Rc<FileReader>,
    backend: Box<dyn Backend>,
    options: EngineOptions,
    listener: &Listener,
) -> Result<Engine, Failure> {
    let mut on_engine = listener.on_engine();
    let engine = Engine::load_from(model.clone(), reader.clone(), backend, options, &mut on_engine).await;
    engine.map_err(|error| reader.explain(error))
}

/// Opens the device of a choice.
pub(crate) async fn open(choice: &BackendChoice) -> Result<(Opened, OpenDevice), Failure> {
    let mut opened = open_backend(choice).await?;
    let info: &DeviceInfo = opened.backend.device();
    let mut name = info.name.clone();
    if opened.destroy.is_some() && name.is_empty() {
        name = adapter::name().await.unwrap_or_else(|| "WebGPU adapter".into());
    }
    let (destroy, sibling) = (opened.destroy.take(), opened.sibling.take());
    let device = OpenDevice { name, reason: opened.reason.clone(), destroy, sibling };
    Ok((opened, device))
}
