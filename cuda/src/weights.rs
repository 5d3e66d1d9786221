//! Weights on the device, and on their way to it: one tensor at a time, in pieces of any size.

use crate::gpu::{Buffer, Gpu};
use monolens_graph::{BackendError, DType, WeightFormat, WeightSpec};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Elements that kernels read at once: rows are padded with zeros to a multiple of them.
const EIGHT: usize = 8;
/// Bytes of padded rows gathered before they are written to the device.
const PIECE: usize = 4 << 20;

/// A weight on the device. Matrices are stored as they came, but for the padding of rows that are not whole groups of eight;
/// vectors are f32. Integers in groups are as they came: of all rows, then the scales of all rows.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    /// As it was loaded.
    pub shape: Vec<usize>,
    pub format: WeightFormat,
    /// Elements of a row, and from one row to the next.
    pub inner: usize,
    pub stride: usize,
    pub rows: usize,
    pub buffer: Rc<Buffer>,
}

/// All weights by name.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    by_name: BTreeMap<String, Weight>,
}

impl Weights {
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    pub fn bytes(&self) -> u64 {
        self.by_name.values().map(|w| w.buffer.bytes).sum()
    }

    /// The weight of a plan, with the shape that the plan says.
    pub fn find(&self, spec: &WeightSpec) -> Result<&Weight, BackendError> {
        spec.loaded(self.by_name.get(&spec.name), |weight| &weight.shape)
    }
}

/// The weight being uploaded.
#[derive(Debug)]
pub(crate) struct Upload {
    spec: WeightSpec,
    stored: WeightFormat,
    weight: Weight,
    expected: u64,
    got: u64,
    /// Where `staging` belongs.
    offset: u64,
    staging: Vec<u8>,
    /// Bytes of the row begun at the end of `staging`; 0 between rows.
    begun: usize,
}

impl Upload {
    pub fn new(gpu: &Rc<dyn Gpu>, spec: &WeightSpec, stored: WeightFormat) -> Result<Self, BackendError> {
        let error = |(expected, got)| BackendError::Weight { name: spec.name.clone(), expected, got };
        stored.check(&spec.shape).map_err(error)?;
        let Some(expected) = stored.bytes(&spec.shape) else {
            return Err(error(("a shape that memory can hold".into(), format!("{:?}", spec.shape))));
        };
        let expected = expected as u64;
        let (rows, inner) = spec.rows();
        let is_vector = spec.shape.len() <= 1;
        let format = if is_vector { DType::F32.into() } else { stored };
        let (stride, bytes) = match format {
            WeightFormat::Plain(dtype) => {
                let stride = if is_vector { inner } else { inner.next_multiple_of(EIGHT) };
                let bytes = (rows as u64).saturating_mul(stride as u64).saturating_mul(dtype.bytes() as u64);
                (stride, bytes)
            }
            WeightFormat::Grouped(_) => (inner, expected),
        };
        let buffer = Rc::new(Buffer::new(gpu, &spec.name, bytes)?);
        let weight = Weight { shape: spec.shape.clone(), format, inner, stride, rows, buffer };
        let spec = spec.clone();
        Ok(Self { spec, stored, weight, expected, got: 0, offset: 0, staging: Vec::new(), begun: 0 })
    }

    fn size_error(&self) -> BackendError {
        BackendError::Weight {
            name: self.spec.name.clone(),
            expected: format!("{} bytes", self.expected),
            got: format!("{} bytes", self.got),
        }
    }

    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), BackendError> {
        self.got += bytes.len() as u64;
        if self.got > self.expected {
            return Err(self.size_error());
        }
        if self.stored != self.weight.format {
            // A vector: it is widened when it is whole.
            self.staging.extend_from_slice(bytes);
            return Ok(());
        }
        let element = match self.stored {
            WeightFormat::Plain(dtype) => dtype.bytes(),
            WeightFormat::Grouped(_) => 0,
        };
        let row_bytes = self.weight.inner * element;
        let padding = self.weight.stride * element - row_bytes;
        if padding == 0 {
            self.weight.buffer.write(self.offset, bytes)?;
            self.offset += bytes.len() as u64;
            return Ok(());
        }
        while !bytes.is_empty() {
            let (piece, rest) = bytes.split_at(bytes.len().min(row_bytes - self.begun));
            self.staging.extend_from_slice(piece);
            self.begun += piece.len();
            bytes = rest;
            if self.begun == row_bytes {
                self.begun = 0;
                self.staging.resize(self.staging.len() + padding, 0);
                if self.staging.len() >= PIECE {
                    self.flush()?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), BackendError> {
        self.weight.buffer.write(self.offset, &self.staging)?;
        self.offset += self.staging.len() as u64;
        self.staging.clear();
        Ok(())
    }

    pub fn end(mut self, weights: &mut Weights) -> Result<(), BackendError> {
        if self.got != self.expected {
            return Err(self.size_error());
        }
        if self.stored != self.weight.format {
            self.staging = widened(&self.staging, self.stored);
        }
        self.flush()?;
        weights.by_name.insert(self.spec.name, self.weight);
        Ok(())
    }
}

/// The bytes of f32s out of those of a 16-bit type.
fn widened(bytes: &[u8], format: WeightFormat) -> Vec<u8> {
    let pairs = bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match format {
        WeightFormat::Plain(DType::BF16) => {
            pairs.flat_map(|b| half::bf16::from_le_bytes(b).to_f32().to_le_bytes()).collect()
        }
        WeightFormat::Plain(DType::F16) => {
            pairs.flat_map(|b| half::f16::from_le_bytes(b).to_f32().to_le_bytes()).collect()
        }
        _ => bytes.to_vec(),
    }
}
