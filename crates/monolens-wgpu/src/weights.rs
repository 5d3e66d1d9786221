//! Weights on the device: matrices in padded rows, split where they are too large to bind; vectors together in one buffer.

use crate::gpu::Gpu;
use monolens_graph::{BackendError, DType, WeightSpec};
use std::collections::BTreeMap;

/// Elements in a group: the unit in which kernels read weight rows.
pub(crate) const CHUNK: usize = 8;

/// Rows of a matrix that lie in one buffer.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub first: usize,
    pub rows: usize,
    pub buffer: wgpu::Buffer,
}

/// A weight with more than one dimension.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub dtype: DType,
    /// Elements of a row.
    pub inner: usize,
    /// Groups of [`CHUNK`] elements of a padded row.
    pub chunks: usize,
    pub parts: Vec<Part>,
}

impl Matrix {
    /// Bytes from one row to the next.
    pub fn stride(&self) -> u64 {
        stride(self.inner, self.dtype)
    }
}

fn stride(inner: usize, dtype: DType) -> u64 {
    (inner.div_ceil(CHUNK) * CHUNK * dtype.bytes()) as u64
}

/// A weight on the device.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    Matrix(Matrix),
    /// Where it begins among the vectors.
    Vector(usize),
}

/// A weight and the shape it was loaded with.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    pub shape: Vec<usize>,
    pub stored: Stored,
}

/// All weights by name.
#[derive(Debug, Default)]
pub(crate) struct Weights {
    pub by_name: BTreeMap<String, Weight>,
    vectors: Vec<f32>,
    buffer: Option<wgpu::Buffer>,
    dirty: bool,
}

impl Weights {
    /// Takes a vector; gives its place.
    pub fn add_vector(&mut self, elements: &[f32]) -> usize {
        let at = self.vectors.len();
        self.vectors.extend_from_slice(elements);
        self.dirty = true;
        at
    }

    /// Puts new vectors on the device; gives whether the buffer is another one now.
    pub fn upload_vectors(&mut self, gpu: &Gpu) -> Result<bool, BackendError> {
        let bytes: &[u8] = bytemuck::cast_slice(&self.vectors);
        let fits = self.buffer.as_ref().is_some_and(|b| b.size() >= bytes.len() as u64);
        if fits && !self.dirty {
            return Ok(false);
        }
        if !fits {
            let room = bytes.len().max(4096).next_power_of_two() as u64;
            self.buffer = Some(gpu.storage("vectors", room)?);
        }
        if let (Some(buffer), false) = (&self.buffer, bytes.is_empty()) {
            gpu.queue.write_buffer(buffer, 0, bytes);
        }
        self.dirty = false;
        Ok(!fits)
    }

    pub fn vectors(&self) -> Option<&wgpu::Buffer> {
        self.buffer.as_ref()
    }

    pub fn bytes(&self) -> u64 {
        let matrices = self.by_name.values().filter_map(|w| match &w.stored {
            Stored::Matrix(m) => Some(m),
            Stored::Vector(_) => None,
        });
        let parts = matrices.flat_map(|m| &m.parts).map(|p| p.buffer.size()).sum::<u64>();
        parts + self.buffer.as_ref().map_or(0, wgpu::Buffer::size)
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
pub(crate) fn rows_of(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [n] => (1, *n),
        [rows, rest @ ..] if rest.len() >= 3 => (*rows, rest.iter().product()),
        [rest @ .., last] => (rest.iter().product(), *last),
    }
}

/// Makes the buffers of a matrix, each at most `max_binding` bytes.
pub(crate) fn allocate(
    gpu: &Gpu,
    spec: &WeightSpec,
    dtype: DType,
    max_binding: u64,
) -> Result<Matrix, BackendError> {
    let (rows, inner) = rows_of(&spec.shape);
    let stride = stride(inner, dtype);
    let mut rows_a_part = usize::try_from(max_binding / stride.max(1)).unwrap_or(usize::MAX);
    if rows_a_part == 0 {
        return Err(BackendError::Limit {
            what: format!("weight {}: one row", spec.name),
            needed: format!("{stride} bytes"),
            limit: format!("bindings of {max_binding} bytes"),
        });
    }
    if rows_a_part >= 64 {
        rows_a_part -= rows_a_part % 64;
    }
    let mut parts = Vec::new();
    for first in (0..rows).step_by(rows_a_part) {
        let rows = rows_a_part.min(rows - first);
        let buffer = gpu.storage(&spec.name, rows as u64 * stride)?;
        parts.push(Part { first, rows, buffer });
    }
    Ok(Matrix { dtype, inner, chunks: inner.div_ceil(CHUNK), parts })
}
