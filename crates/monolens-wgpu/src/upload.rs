//! A weight on its way to the device, in pieces of any size; at no time is more than a few MiB of it in host memory.

use crate::gpu::Gpu;
use crate::weights::{self, Matrix, Stored, Weight, Weights};
use monolens_graph::{BackendError, DType, WeightFormat, WeightSpec};

/// Bytes gathered before they are written to the device.
const PIECE: usize = 4 << 20;
/// Bytes written before waiting for the device to take them.
const IN_FLIGHT: u64 = 64 << 20;

enum Target {
    Matrix {
        matrix: Matrix,
        /// Region and part being filled, and the row in it where `staging` belongs.
        region: usize,
        part: usize,
        row: usize,
        /// Whole padded rows, then the beginning of one.
        staging: Vec<u8>,
        /// Bytes of the row begun in `staging`; 0 between rows.
        begun: usize,
    },
    Vector(Vec<u8>),
}

/// The weight being uploaded.
pub(crate) struct Upload {
    spec: WeightSpec,
    format: WeightFormat,
    expected: u64,
    got: u64,
    in_flight: u64,
    target: Target,
}

impl Upload {
    pub fn new(
        gpu: &Gpu,
        spec: &WeightSpec,
        format: WeightFormat,
        max_binding: u64,
    ) -> Result<Self, BackendError> {
        let error = |(expected, got)| BackendError::Weight { name: spec.name.clone(), expected, got };
        format.check(&spec.shape).map_err(error)?;
        let Some(expected) = format.bytes(&spec.shape) else {
            return Err(error(("a shape that memory can hold".into(), format!("{:?}", spec.shape))));
        };
        let target = if spec.shape.len() <= 1 {
            Target::Vector(Vec::new())
        } else {
            let matrix = weights::allocate(gpu, spec, format, max_binding)?;
            Target::Matrix { matrix, region: 0, part: 0, row: 0, staging: Vec::new(), begun: 0 }
        };
        let expected = expected as u64;
        Ok(Self { spec: spec.clone(), format, expected, got: 0, in_flight: 0, target })
    }

    fn size_error(&self, got: u64) -> BackendError {
        BackendError::Weight {
            name: self.spec.name.clone(),
            expected: format!("{} bytes", self.expected),
            got: format!("{got} bytes"),
        }
    }

    pub fn write(&mut self, gpu: &Gpu, mut bytes: &[u8]) -> Result<(), BackendError> {
        self.got += bytes.len() as u64;
        if self.got > self.expected {
            return Err(self.size_error(self.got));
        }
        let Target::Matrix { matrix, region, part, row, staging, begun } = &mut self.target else {
            if let Target::Vector(all) = &mut self.target {
                all.extend_from_slice(bytes);
            }
            return Ok(());
        };
        let regions = matrix.regions();
        while let (false, Some(here)) = (bytes.is_empty(), regions.get(*region)) {
            let taken = bytes.len().min(here.row - *begun);
            staging.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            *begun += taken;
            if *begun < here.row {
                break;
            }
            *begun = 0;
            staging.resize(staging.len() + here.stride - here.row, 0);
            let rows = staging.len() / here.stride;
            let ends = *row + rows == matrix.parts[*part].rows;
            // Writes are of whole words; rows of scales may not be.
            if ends || (staging.len() >= PIECE && staging.len().is_multiple_of(4)) {
                let before: usize = regions[..*region].iter().map(|r| r.stride).sum();
                let at = before * matrix.parts[*part].rows + *row * here.stride;
                self.in_flight += flush(gpu, &matrix.parts[*part].buffer, at as u64, staging);
                *row += rows;
                if ends {
                    (*part, *row) = (*part + 1, 0);
                }
                if *part == matrix.parts.len() {
                    (*region, *part) = (*region + 1, 0);
                }
            }
            if self.in_flight >= IN_FLIGHT {
                self.in_flight = 0;
                gpu.wait();
            }
        }
        gpu.check(&self.spec.name, self.expected)
    }

    pub fn end(self, gpu: &Gpu, weights: &mut Weights) -> Result<(), BackendError> {
        if self.got != self.expected {
            return Err(self.size_error(self.got));
        }
        let stored = match self.target {
            Target::Matrix { matrix, .. } => Stored::Matrix(matrix),
            Target::Vector(bytes) => Stored::Vector(weights.add_vector(&floats(&bytes, self.format))),
        };
        gpu.poll();
        gpu.check(&self.spec.name, self.expected)?;
        weights.by_name.insert(self.spec.name.clone(), Weight { shape: self.spec.shape, stored });
        Ok(())
    }
}

/// Writes whole rows; gives how many bytes they were.
fn flush(gpu: &Gpu, buffer: &wgpu::Buffer, at: u64, staging: &mut Vec<u8>) -> u64 {
    staging.resize(staging.len().next_multiple_of(4), 0);
    gpu.queue.write_buffer(buffer, at, staging);
    // Without a submit the pieces would pile up in staging memory.
    gpu.queue.submit([]);
    gpu.poll();
    let written = staging.len() as u64;
    staging.clear();
    written
}

/// A vector's elements; there are none in groups.
fn floats(bytes: &[u8], format: WeightFormat) -> Vec<f32> {
    match format {
        WeightFormat::Plain(DType::BF16) => {
            bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        WeightFormat::Plain(DType::F16) => {
            bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        _ => bytemuck::allocation::pod_collect_to_vec(bytes),
    }
}
