//! Weights on the device: matrices in padded rows, split where they are too large to bind; vectors together in one buffer.

use crate::gpu::Gpu;
use monolens_graph::{BackendError, Bits, DType, Grouped, WeightFormat, WeightSpec};
use std::collections::BTreeMap;

/// Rows of a matrix are padded to a multiple of this many elements.
pub(crate) const EIGHT: usize = 8;

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
    pub format: WeightFormat,
    /// Elements of a row.
    pub inner: usize,
    /// Times [`EIGHT`]: elements of a padded row.
    pub eights: usize,
    pub parts: Vec<Part>,
}

/// What each buffer of a matrix holds one after the other: elements; or integers, then scales.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    /// Bytes of a row.
    pub row: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl Matrix {
    fn new(format: WeightFormat, inner: usize) -> Self {
        Self { format, inner, eights: inner.div_ceil(EIGHT), parts: Vec::new() }
    }

    pub fn regions(&self) -> Vec<Region> {
        match self.format {
            WeightFormat::Plain(dtype) => {
                vec![Region { row: self.inner * dtype.bytes(), stride: self.eights * EIGHT * dtype.bytes() }]
            }
            // Rows of whole groups are whole vectors, so nothing is padded.
            WeightFormat::Grouped(grouped) => {
                let scales = grouped.groups(self.inner) * grouped.scale.bytes();
                let region = |bytes| Region { row: bytes, stride: bytes };
                vec![region(grouped.row_bytes(self.inner)), region(scales)]
            }
        }
    }

    /// Elements in a group, groups in a row, the word of a part where the scales begin, and their type; zeros if there
    /// are no groups.
    pub fn scales(&self, rows: usize) -> [u32; 4] {
        match self.format {
            WeightFormat::Plain(_) => [0; 4],
            WeightFormat::Grouped(g) => {
                let words = rows * g.row_bytes(self.inner) / 4;
                [g.group as u32, g.groups(self.inner) as u32, words as u32, code(g.scale.into())]
            }
        }
    }
}

/// How a shader knows a stored type (`shared/element.wgsl`).
pub(crate) fn code(format: WeightFormat) -> u32 {
    match format {
        WeightFormat::Plain(DType::F32 | DType::U32 | DType::I8) => 0,
        WeightFormat::Plain(DType::BF16) => 1,
        WeightFormat::Plain(DType::F16) => 2,
        WeightFormat::Grouped(Grouped { bits: Bits::Eight, .. }) => 3,
        WeightFormat::Grouped(Grouped { bits: Bits::Four, .. }) => 4,
    }
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

impl Weight {
    /// Bytes of a matrix, 0 of a vector.
    pub fn matrix_bytes(&self) -> u64 {
        match &self.stored {
            Stored::Matrix(matrix) => matrix.parts.iter().map(|part| part.buffer.size()).sum(),
            Stored::Vector(_) => 0,
        }
    }
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
        let matrices = self.by_name.values().map(Weight::matrix_bytes).sum::<u64>();
        matrices + self.buffer.as_ref().map_or(0, wgpu::Buffer::size)
    }

    /// The weight of a plan, with the shape that the plan says.
    pub fn find(&self, spec: &WeightSpec) -> Result<&Weight, BackendError> {
        spec.loaded(self.by_name.get(&spec.name), |weight| &weight.shape)
    }
}

/// Makes the buffers of a matrix, each at most `max_binding` bytes.
pub(crate) fn allocate(
    gpu: &Gpu,
    spec: &WeightSpec,
    format: WeightFormat,
    max_binding: u64,
) -> Result<Matrix, BackendError> {
    let (rows, inner) = spec.rows();
    let mut matrix = Matrix::new(format, inner);
    let stride = matrix.regions().iter().map(|r| r.stride as u64).sum::<u64>();
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
    for first in (0..rows).step_by(rows_a_part) {
        let rows = rows_a_part.min(rows - first);
        let buffer = gpu.storage(&spec.name, rows as u64 * stride)?;
        matrix.parts.push(Part { first, rows, buffer });
    }
    Ok(matrix)
}
