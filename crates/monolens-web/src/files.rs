//! Files of the model's folder, read by the worker piece by piece.

use crate::event_loop;
use crate::failure::Failure;
use js_sys::Uint8Array;
use monolens_engine::{EngineError, Piece, WeightReader};
use monolens_graph::backend::LocalFuture;
use monolens_models::checkpoint::{Layout, TensorInfo};
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use wasm_bindgen::prelude::*;

/// Bytes that are asked for at a time; a cache may keep whole blocks of this size.
const BLOCK: u64 = 4 << 20;

#[wasm_bindgen]
extern "C" {
    /// Where a model's files come from: see `ModelFiles` in `contract.ts`.
    #[wasm_bindgen(typescript_type = "ModelFiles")]
    pub type ModelFiles;

    #[wasm_bindgen(method, catch)]
    async fn size(this: &ModelFiles, name: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn read(this: &ModelFiles, name: &str, from: f64, to: f64) -> Result<JsValue, JsValue>;
}

/// Reads files through the worker.
#[derive(Clone)]
pub(crate) struct Files(pub Rc<ModelFiles>);

impl Files {
    /// Bytes of a file; none if there is no such file.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, Failure> {
        let size = self.0.size(name).await.map_err(|error| Failure::of_files(name, &error))?;
        if size.is_undefined() {
            return Ok(None);
        }
        let whole =
            |size: &f64| *size >= 0.0 && size.fract() == 0.0 && *size <= js_sys::Number::MAX_SAFE_INTEGER;
        match size.as_f64().filter(whole) {
            Some(size) => Ok(Some(size as u64)),
            None => {
                Err(Failure::new("read-failed", format!("{name}: expected a size in bytes, got {size:?}")))
            }
        }
    }

    /// Bytes `from..to` of a file.
    pub async fn read(&self, name: &str, from: u64, to: u64) -> Result<Vec<u8>, Failure> {
        let bytes = self.0.read(name, from as f64, to as f64).await;
        let bytes = bytes.map_err(|error| Failure::of_files(name, &error))?;
        let got = bytes.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec);
        match got {
            Some(got) if got.len() as u64 == to - from => Ok(got),
            other => {
                let got =
                    other.map_or_else(|| format!("{bytes:?}"), |bytes| format!("{} bytes", bytes.len()));
                Err(Failure::new("read-failed", format!("{name}: expected {} bytes, got {got}", to - from)))
            }
        }
    }

    /// A small file whole; none if there is no such file.
    pub async fn whole(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Failure> {
        match self.size(name).await? {
            None => Ok(None),
            Some(size) if size > limit => {
                Err(Failure::new("bad-model", format!("{name}: expected at most {limit} bytes, got {size}")))
            }
            Some(size) => self.read(name, 0, size).await.map(Some),
        }
    }
}

/// Reads tensors in pieces. Of a failure the engine keeps the text; the code is kept here.
pub(crate) struct FileReader {
    files: Files,
    layout: Arc<Layout>,
    failure: RefCell<Option<Failure>>,
}

impl FileReader {
    pub fn new(files: Files, layout: Arc<Layout>) -> Self {
        Self { files, layout, failure: RefCell::new(None) }
    }

    /// The failure behind an error of the engine.
    pub fn explain(&self, error: EngineError) -> Failure {
        match (self.failure.take(), &error) {
            (Some(failure), EngineError::Weights { .. }) => Failure::new(failure.code, error),
            _ => error.into(),
        }
    }

    async fn read_block(&self, tensor: &str, from: u64) -> Result<Vec<u8>, Failure> {
        let missing = || Failure::new("bad-model", format!("{tensor}: no such tensor"));
        let at = self.layout.get(tensor).ok_or_else(missing)?;
        let (file, start) = (&self.layout.files()[at.file], at.info.range.start + from);
        // Up to where a block of the file ends: a cache then never gives two blocks for one piece.
        let to = at.info.range.end.min((start / BLOCK + 1) * BLOCK);
        // Reads may come from memory: nothing else would let a cancellation in.
        event_loop::turn().await;
        self.files.read(file, start, to).await
    }
}

impl WeightReader for FileReader {
    fn info(&self, tensor: &str) -> Option<TensorInfo> {
        self.layout.get(tensor).map(|at| at.info.clone())
    }

    fn read<'a>(&'a self, tensor: &'a str, from: u64) -> LocalFuture<'a, Result<Piece<'a>, EngineError>> {
        Box::pin(async move {
            self.read_block(tensor, from).await.map(Cow::Owned).map_err(|failure| {
                let (name, reason) = (tensor.to_owned(), failure.text.clone());
                self.failure.replace(Some(failure));
                EngineError::Weights { name, reason }
            })
        })
    }
}
