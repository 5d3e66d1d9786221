//! Weights on the device, and on their way to it: one tensor at a time, in pieces of any size.

use crate::gpu::{Buffer, Gpu};
use monolens_graph::{BackendError, DType, WeightSpec};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Elements in a group: kernels read weight rows in such groups, so rows are padded with zeros to whole ones.
const GROUP: usize = 8;
/// Bytes of padded rows gathered before they are written to the device.
const PIECE: usize = 4 << 20;

/// A weight on the device. Matrices are stored as they came, but for the padding; vectors are f32.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    /// As it was loaded.
    pub shape: Vec<usize>,
    pub dtype: DType,
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
        let error = |got: String| BackendError::Weight {
            name: spec.name.clone(),
            expected: format!("{:?}", spec.shape),
            got,
        };
        match self.by_name.get(&spec.name) {
            None => Err(error("none loaded".into())),
            Some(w) if w.shape != spec.shape => Err(error(format!("{:?}", w.shape))),
            Some(w) => Ok(w),
        }
    }
}

/// A weight's dimensions seen as rows: the last dimension is a row, but a convolution's row is one whole filter.
fn rows_of(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (1, *n),
        [rows, rest @ ..] if rest.len() >= 3 => (*rows, rest.iter().product()),
        [rest @ .., last] => (rest.iter().product(), *last),
    }
}

/// The weight being uploaded.
#[derive(Debug)]
pub(crate) struct Upload {
    spec: WeightSpec,
    stored: DType,
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
    pub fn new(gpu: &Rc<dyn Gpu>, spec: &WeightSpec, dtype: DType) -> Result<Self, BackendError> {
        let elements = spec.shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        let expected = elements.and_then(|n| n.checked_mul(dtype.bytes())).map(|n| n as u64);
        let (true, Some(expected)) = (dtype.is_float(), expected) else {
            return Err(BackendError::Weight {
                name: spec.name.clone(),
                expected: "f32, f16 or bf16".into(),
                got: format!("{dtype} {:?}", spec.shape),
            });
        };
        let (rows, inner) = rows_of(&spec.shape);
        let is_vector = spec.shape.len() <= 1;
        let kept = if is_vector { DType::F32 } else { dtype };
        let stride = if is_vector { inner } else { inner.next_multiple_of(GROUP) };
        let bytes = (rows as u64).saturating_mul(stride as u64).saturating_mul(kept.bytes() as u64);
        let buffer = Rc::new(Buffer::new(gpu, &spec.name, bytes)?);
        let weight = Weight { shape: spec.shape.clone(), dtype: kept, inner, stride, rows, buffer };
        let spec = spec.clone();
        Ok(Self { spec, stored: dtype, weight, expected, got: 0, offset: 0, staging: Vec::new(), begun: 0 })
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
        if self.stored != self.weight.dtype {
            // A vector: it is widened when it is whole.
            self.staging.extend_from_slice(bytes);
            return Ok(());
        }
        let row_bytes = self.weight.inner * self.stored.bytes();
        let padding = self.weight.stride * self.stored.bytes() - row_bytes;
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
        if self.stored != self.weight.dtype {
            self.staging = widened(&self.staging, self.stored);
        }
        self.flush()?;
        weights.by_name.insert(self.spec.name, self.weight);
        Ok(())
    }
}

/// The bytes of f32s out of those of a 16-bit type.
fn widened(bytes: &[u8], dtype: DType) -> Vec<u8> {
    let pairs = bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match dtype {
        DType::BF16 => pairs.flat_map(|b| half::bf16::from_le_bytes(b).to_f32().to_le_bytes()).collect(),
        DType::F16 => pairs.flat_map(|b| half::f16::from_le_bytes(b).to_f32().to_le_bytes()).collect(),
        _ => bytes.to_vec(),
    }
}
