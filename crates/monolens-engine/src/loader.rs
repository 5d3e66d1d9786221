//! Weights on their way to the device: tensor by tensor, in pieces, only those that a program uses.

use crate::EngineError;
use monolens_graph::backend::LocalFuture;
use monolens_graph::{Backend, Graph, Grouped, WeightSpec};
use monolens_models::Model;
use monolens_models::checkpoint::{
    CheckpointError, DType as StoredDType, TensorInfo, first_not_finite, widen,
};
use monolens_models::config::ModelConfig;
use monolens_models::quant::{PACKED, Quantization, Quantizer, SCALE};
use monolens_models::weights::{Origin, Supply, check_wish};
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Bytes of a tensor that [`LocalWeights`] hands on at a time.
const PIECE_BYTES: usize = 4 << 20;
/// Bytes after which the device is waited for, so that they don't pile up on their way.
const IN_FLIGHT_BYTES: u64 = 32 << 20;

/// What loading is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Weights go to the device.
    Weights,
    /// Programs are prepared: memory allocated, kernels compiled.
    Programs,
}

/// How far loading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What it is doing.
    pub stage: Stage,
    /// Bytes of weights (or programs) done; the last report of a stage has all of them.
    pub done: u64,
    /// Of how many.
    pub total: u64,
    /// The tensor (or program) at hand; none when a stage is over.
    pub name: &'a str,
}

/// Listens to loading, and may end it.
pub type OnProgress<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// Bytes of a tensor: borrowed where they are at hand.
pub type Piece<'a> = Cow<'a, [u8]>;

/// Where weights come from: a mapped file, bytes in memory, HTTP ranges, a file that the user dropped.
pub trait WeightReader {
    /// Type and shape of a tensor; none if there is no such tensor.
    fn info(&self, tensor: &str) -> Option<TensorInfo>;

    /// The bytes of a tensor that begin with number `from`: at least one, and as many as suit the reader.
    fn read<'a>(&'a self, tensor: &'a str, from: u64) -> LocalFuture<'a, Result<Piece<'a>, EngineError>>;
}

/// The weights of a model that has them at hand.
#[derive(Clone, Debug)]
pub struct LocalWeights(pub Arc<Model>);

impl WeightReader for LocalWeights {
    fn info(&self, tensor: &str) -> Option<TensorInfo> {
        self.0.tensors().info(tensor).cloned()
    }

    fn read<'a>(&'a self, tensor: &'a str, from: u64) -> LocalFuture<'a, Result<Piece<'a>, EngineError>> {
        Box::pin(async move {
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            Ok(match self.0.tensors().bytes(tensor)? {
                Cow::Borrowed(bytes) => {
                    let rest = bytes.get(from..).unwrap_or(&[]);
                    Cow::Borrowed(&rest[..rest.len().min(PIECE_BYTES)])
                }
                // Made up for this call: handed on whole.
                Cow::Owned(mut bytes) => Cow::Owned(bytes.split_off(from.min(bytes.len()))),
            })
        })
    }
}

/// The weights that graphs use, each once.
pub(crate) fn used_weights<'g>(graphs: impl IntoIterator<Item = &'g Graph>) -> Vec<WeightSpec> {
    let mut names = HashSet::new();
    let mut specs = Vec::new();
    for graph in graphs {
        for id in graph.used_weights() {
            let spec = graph.weight(id);
            if names.insert(&spec.name) {
                specs.push(spec.clone());
            }
        }
    }
    specs
}

/// Loads weights into a backend.
pub(crate) struct Loader<'a, 'p> {
    /// Where they come from.
    pub reader: &'a dyn WeightReader,
    /// Says which weights are stored and which are made of stored ones.
    pub config: &'a ModelConfig,
    /// Whether weights are rounded to fewer bits on the way.
    pub wish: Option<Quantization>,
    /// Whether NaN and infinity are refused.
    pub check_finite: bool,
    /// Who wants to know.
    pub progress: &'a mut OnProgress<'p>,
    /// Bytes written since the device was waited for.
    pub in_flight: u64,
}

impl Loader<'_, '_> {
    /// Loads these weights, those that the backend lacks.
    pub async fn load(mut self, backend: &mut dyn Backend, specs: &[WeightSpec]) -> Result<(), EngineError> {
        // Everything is looked up before the first byte moves: what is missing is told at once.
        let supplies = self.supplies(specs)?;
        let total = specs.iter().zip(&supplies).map(device_bytes).sum();
        let mut done = 0;
        for (spec, &supply) in specs.iter().zip(&supplies) {
            if !backend.has_weight(&spec.name) {
                self.load_one(backend, spec, supply, done, total).await?;
            }
            done += device_bytes((spec, &supply));
        }
        backend.settle().await?;
        self.report("", done, total)
    }

    /// Bytes that these weights take on the device.
    pub fn bytes(&self, specs: &[WeightSpec]) -> Result<u64, CheckpointError> {
        Ok(specs.iter().zip(&self.supplies(specs)?).map(device_bytes).sum())
    }

    fn supplies(&self, specs: &[WeightSpec]) -> Result<Vec<Supply>, CheckpointError> {
        let supply = |spec| Supply::of(self.config, spec, self.wish, &|tensor| self.reader.info(tensor));
        let supplies: Vec<Supply> = specs.iter().map(supply).collect::<Result<_, _>>()?;
        check_wish(self.config, self.wish, &supplies)?;
        Ok(supplies)
    }

    async fn load_one(
        &mut self,
        backend: &mut dyn Backend,
        spec: &WeightSpec,
        supply: Supply,
        done: u64,
        total: u64,
    ) -> Result<(), EngineError> {
        self.report(&spec.name, done, total)?;
        let origin = Origin::of(self.config, &spec.name);
        backend.begin_weight(spec, supply.format())?;
        let mut written = done;
        let mut write = |loader: &mut Self, backend: &mut dyn Backend, bytes: &[u8]| {
            backend.write_weight(bytes)?;
            written += bytes.len() as u64;
            loader.report(&spec.name, written, total)
        };
        match supply {
            Supply::Stored(_) => self.pass_on(backend, origin.tensor(), &mut write).await?,
            Supply::Packed(_) => {
                let base = spec.name.trim_end_matches("weight");
                self.pass_on(backend, &format!("{base}{PACKED}"), &mut write).await?;
                self.pass_on(backend, &format!("{base}{SCALE}"), &mut write).await?;
            }
            Supply::Rounded(format) => {
                let mut rounding = Rounding::new(self.stored(origin.tensor()).0, format);
                let mut round = |loader: &mut Self, backend: &mut dyn Backend, bytes: &[u8]| {
                    write(loader, backend, rounding.next(bytes))
                };
                self.pass_on(backend, origin.tensor(), &mut round).await?;
                let scales = rounding.finish(&spec.name);
                write(self, backend, &scales)?;
            }
            Supply::Derived => {
                // Made of a whole tensor; these are small.
                let mut all = Vec::new();
                let mut keep = |_: &mut Self, _: &mut dyn Backend, bytes: &[u8]| {
                    all.extend_from_slice(bytes);
                    Ok(())
                };
                self.pass_on(backend, origin.tensor(), &mut keep).await?;
                let (_, made) = origin.finish(self.stored(origin.tensor()).0, all.into())?;
                write(self, backend, &made)?;
            }
        }
        Ok(backend.end_weight()?)
    }

    /// Type and size in bytes of a stored tensor.
    fn stored(&self, tensor: &str) -> (StoredDType, u64) {
        self.reader.info(tensor).map_or((StoredDType::F32, 0), |info| (info.dtype, info.bytes()))
    }

    /// Reads a tensor, checks it if so wanted, and hands it to `take` in pieces; waits for the device now and then.
    #[expect(clippy::type_complexity, reason = "a name for the callback would hide what it gets")]
    async fn pass_on(
        &mut self,
        backend: &mut dyn Backend,
        tensor: &str,
        take: &mut dyn FnMut(&mut Self, &mut dyn Backend, &[u8]) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let reader = self.reader;
        let (stored, bytes) = self.stored(tensor);
        // Integers are always finite.
        let check_finite = self.check_finite && stored.is_weight();
        let mut finite = FiniteCheck::new(tensor, stored);
        let mut at = 0;
        while at < bytes {
            let piece = reader.read(tensor, at).await?;
            let to = at + piece.len() as u64;
            if piece.is_empty() || to > bytes {
                let reason = format!("expected bytes {at} to {bytes}, got {}", piece.len());
                return Err(EngineError::Weights { name: tensor.to_owned(), reason });
            }
            if check_finite {
                finite.next(&piece)?;
            }
            take(self, backend, &piece)?;
            self.in_flight += to - at;
            if self.in_flight >= IN_FLIGHT_BYTES {
                self.in_flight = 0;
                backend.settle().await?;
            }
            at = to;
        }
        Ok(())
    }

    fn report(&mut self, name: &str, done: u64, total: u64) -> Result<(), EngineError> {
        match (self.progress)(Progress { stage: Stage::Weights, done, total, name }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(EngineError::Cancelled),
        }
    }
}

/// Bytes of a weight in the format in which a backend gets it.
fn device_bytes((spec, supply): (&WeightSpec, &Supply)) -> u64 {
    supply.format().bytes(&spec.shape).map_or(0, |bytes| bytes as u64)
}

/// Rounds a tensor that comes in pieces of any size.
struct Rounding {
    stored: StoredDType,
    quantizer: Quantizer,
    /// Bytes of a group that a piece ended in.
    rest: Vec<u8>,
    words: Vec<u8>,
}

impl Rounding {
    fn new(stored: StoredDType, format: Grouped) -> Self {
        Self { stored, quantizer: Quantizer::new(format), rest: Vec::new(), words: Vec::new() }
    }

    /// The words of the groups that a piece completes.
    fn next(&mut self, bytes: &[u8]) -> &[u8] {
        self.words.clear();
        self.rest.extend_from_slice(bytes);
        let group = self.quantizer.format().group * self.stored.size() as usize;
        let whole = self.rest.len() - self.rest.len() % group;
        if let Some(values) = widen(self.stored, &self.rest[..whole]) {
            self.quantizer.push(&values, &mut self.words);
        }
        self.rest.drain(..whole);
        &self.words
    }

    /// The scales.
    fn finish(self, name: &str) -> Vec<u8> {
        let format = self.quantizer.format();
        let (scales, error) = self.quantizer.finish();
        log::debug!("{name}: {format}, NMSE {:.2e}", error.nmse());
        scales
    }
}

/// Looks for NaN and infinity in a tensor that comes in pieces of any size.
struct FiniteCheck<'a> {
    name: &'a str,
    dtype: StoredDType,
    /// Bytes of an element that a piece ended in.
    rest: Vec<u8>,
    /// Elements checked.
    index: usize,
}

impl<'a> FiniteCheck<'a> {
    fn new(name: &'a str, dtype: StoredDType) -> Self {
        Self { name, dtype, rest: Vec::new(), index: 0 }
    }

    fn next(&mut self, mut bytes: &[u8]) -> Result<(), EngineError> {
        let size = self.dtype.size() as usize;
        if !self.rest.is_empty() {
            let missing = (size - self.rest.len()).min(bytes.len());
            self.rest.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.rest.len() == size {
                let element = std::mem::take(&mut self.rest);
                self.check(&element)?;
            }
        }
        let whole = bytes.len() - bytes.len() % size;
        self.check(&bytes[..whole])?;
        self.rest.extend_from_slice(&bytes[whole..]);
        Ok(())
    }

    fn check(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        if let Some((at, value)) = first_not_finite(self.dtype, bytes) {
            let tensor = self.name.to_owned();
            return Err(CheckpointError::NotFinite { tensor, index: self.index + at, value }.into());
        }
        self.index += bytes.len() / self.dtype.size() as usize;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_that_is_not_finite_is_found_whatever_the_pieces() {
        let mut values = vec![1.0f32; 20];
        values[13] = f32::NAN;
        let bytes: &[u8] = bytemuck::cast_slice(&values);
        for piece in 1..=bytes.len() {
            let mut check = FiniteCheck::new("w", StoredDType::F32);
            let error = bytes.chunks(piece).try_for_each(|b| check.next(b)).unwrap_err().to_string();
            assert!(error.contains("`w`") && error.contains("element 13"), "{error}");
        }
    }

    #[test]
    fn rounding_gives_the_same_whatever_the_pieces() {
        use monolens_graph::{Bits, DType};
        let values: Vec<f32> = (0..192).map(|i| (i as f32 * 0.37).sin()).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&values);
        let format = Grouped { bits: Bits::Four, group: 32, scale: DType::F16 };
        let rounded = |piece: usize| {
            let mut rounding = Rounding::new(StoredDType::F32, format);
            let mut words = Vec::new();
            bytes.chunks(piece).for_each(|b| words.extend_from_slice(rounding.next(b)));
            (words, rounding.finish("w"))
        };
        let whole = rounded(bytes.len());
        assert_eq!((whole.0.len(), whole.1.len()), (96, 12));
        for piece in [1, 3, 127, 128, 129, 500] {
            assert_eq!(rounded(piece), whole, "pieces of {piece}");
        }
    }

    #[test]
    fn finite_weights_pass_whatever_the_pieces() {
        let bytes = [0x80, 0x3f].repeat(9);
        for piece in 1..=bytes.len() {
            let mut check = FiniteCheck::new("w", StoredDType::BF16);
            bytes.chunks(piece).try_for_each(|b| check.next(b)).unwrap();
        }
    }
}
