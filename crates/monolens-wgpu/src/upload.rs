//! A weight on its way to the device, in pieces of any size; at no time is more than a few MiB of it in host memory.

use crate::gpu::Gpu;
use crate::weights::{self, Matrix, Part, Stored, Weight, Weights};
use monolens_graph::{BackendError, DType, WeightSpec};

/// Bytes gathered before they are written to the device.
const PIECE: usize = 4 << 20;
/// Bytes written before waiting for the device to take them.
const IN_FLIGHT: u64 = 64 << 20;

enum Target {
    Matrix {
        matrix: Matrix,
        /// Part being filled and the row in it where `staging` belongs.
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
    dtype: DType,
    expected: u64,
    got: u64,
    in_flight: u64,
    target: Target,
}

impl Upload {
    pub fn new(gpu: &Gpu, spec: &WeightSpec, dtype: DType, max_binding: u64) -> Result<Self, BackendError> {
        let elements = spec.shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        let expected = elements.and_then(|n| n.checked_mul(dtype.bytes())).map(|n| n as u64);
        let (true, Some(expected)) = (dtype.is_float(), expected) else {
            return Err(BackendError::Weight {
                name: spec.name.clone(),
                expected: "f32, f16 or bf16".into(),
                got: format!("{dtype} {:?}", spec.shape),
            });
        };
        let target = if spec.shape.len() <= 1 {
            Target::Vector(Vec::new())
        } else {
            let matrix = weights::allocate(gpu, spec, dtype, max_binding)?;
            Target::Matrix { matrix, part: 0, row: 0, staging: Vec::new(), begun: 0 }
        };
        Ok(Self { spec: spec.clone(), dtype, expected, got: 0, in_flight: 0, target })
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
        let Target::Matrix { matrix, part, row, staging, begun } = &mut self.target else {
            if let Target::Vector(all) = &mut self.target {
                all.extend_from_slice(bytes);
            }
            return Ok(());
        };
        let row_bytes = matrix.inner * self.dtype.bytes();
        let padding = matrix.stride() as usize - row_bytes;
        while !bytes.is_empty() {
            let taken = bytes.len().min(row_bytes - *begun);
            staging.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            *begun += taken;
            if *begun < row_bytes {
                break;
            }
            *begun = 0;
            staging.resize(staging.len() + padding, 0);
            let rows = staging.len() / matrix.stride() as usize;
            let ends = *row + rows == matrix.parts[*part].rows;
            if ends || staging.len() >= PIECE {
                self.in_flight += flush(gpu, matrix, &matrix.parts[*part], *row, staging);
                *row += rows;
                if ends {
                    (*part, *row) = (*part + 1, 0);
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
            Target::Vector(bytes) => Stored::Vector(weights.add_vector(&floats(&bytes, self.dtype))),
        };
        gpu.poll();
        gpu.check(&self.spec.name, self.expected)?;
        weights.by_name.insert(self.spec.name.clone(), Weight { shape: self.spec.shape, stored });
        Ok(())
    }
}

/// Writes whole rows; gives how many bytes they were.
fn flush(gpu: &Gpu, matrix: &Matrix, part: &Part, row: usize, staging: &mut Vec<u8>) -> u64 {
    gpu.queue.write_buffer(&part.buffer, row as u64 * matrix.stride(), staging);
    // Without a submit the pieces would pile up in staging memory.
    gpu.queue.submit([]);
    gpu.poll();
    let written = staging.len() as u64;
    staging.clear();
    written
}

fn floats(bytes: &[u8], dtype: DType) -> Vec<f32> {
    match dtype {
        DType::F32 | DType::U32 => bytemuck::allocation::pod_collect_to_vec(bytes),
        DType::BF16 => {
            bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        DType::F16 => {
            bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
    }
}
