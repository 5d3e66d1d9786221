//! States: what lives on the device between runs.

use crate::gpu::Gpu;
use monolens_graph::backend::{BackendKind, HostTensor};
use monolens_graph::check::StateTable;
use monolens_graph::{BackendError, DType};
use std::collections::BTreeMap;

const KIND: BackendKind = BackendKind::Wgpu;

/// A state of `rows` × `width` elements.
#[derive(Debug)]
pub(crate) struct State {
    pub buffer: wgpu::Buffer,
    pub dtype: DType,
    pub rows: usize,
    pub width: usize,
}

impl State {
    pub fn bytes(&self) -> u64 {
        (self.rows * self.width * self.dtype.bytes()) as u64
    }
}

/// All states by name.
#[derive(Debug, Default)]
pub(crate) struct States {
    by_name: BTreeMap<String, State>,
}

impl StateTable for States {
    fn state(&self, name: &str) -> Option<(DType, usize, usize)> {
        self.get(name).map(|s| (s.dtype, s.rows, s.width))
    }
}

impl States {
    pub fn get(&self, name: &str) -> Option<&State> {
        self.by_name.get(name)
    }

    pub fn bytes(&self) -> u64 {
        self.by_name.values().map(|s| s.buffer.size()).sum()
    }

    pub fn allocate(
        &mut self,
        gpu: &Gpu,
        name: &str,
        dtype: DType,
        rows: usize,
        width: usize,
        max_binding: u64,
    ) -> Result<(), BackendError> {
        // The old one first: its memory may be needed.
        self.by_name.remove(name);
        if !matches!(dtype, DType::F32 | DType::BF16 | DType::I8) {
            return Err(BackendError::state(KIND, name, "f32, bf16 or i8", dtype));
        }
        let bytes = (rows as u64)
            .checked_mul(width as u64)
            .and_then(|n| n.checked_mul(dtype.bytes() as u64))
            .unwrap_or(u64::MAX);
        if bytes > max_binding {
            return Err(BackendError::Limit {
                what: format!("state {name} of {rows} rows on {}", gpu.name),
                needed: format!("a binding of {bytes} bytes"),
                limit: format!("{max_binding} bytes"),
            });
        }
        let buffer = gpu.storage(&format!("state {name}"), bytes)?;
        self.by_name.insert(name.into(), State { buffer, dtype, rows, width });
        Ok(())
    }

    pub fn write(&self, gpu: &Gpu, name: &str, bytes: &[u8]) -> Result<(), BackendError> {
        let state = self.get(name).ok_or_else(|| BackendError::no_state(KIND, name))?;
        if bytes.len() as u64 != state.bytes() {
            return Err(BackendError::state(KIND, name, format!("{} bytes", state.bytes()), bytes.len()));
        }
        if bytes.len().is_multiple_of(4) {
            gpu.queue.write_buffer(&state.buffer, 0, bytes);
        } else {
            let mut padded = bytes.to_vec();
            padded.resize(bytes.len().next_multiple_of(4), 0);
            gpu.queue.write_buffer(&state.buffer, 0, &padded);
        }
        gpu.queue.submit([]);
        gpu.check(name, 0)
    }

    pub async fn read(&self, gpu: &Gpu, name: &str) -> Result<HostTensor, BackendError> {
        let state = self.get(name).ok_or_else(|| BackendError::no_state(KIND, name))?;
        let size = state.bytes().next_multiple_of(4);
        let mut bytes =
            gpu.read(&[(state.buffer.clone(), 0, size)], &mut None).await?.pop().unwrap_or_default();
        bytes.truncate(state.bytes() as usize);
        Ok(HostTensor { dtype: state.dtype, shape: vec![state.rows, state.width], bytes })
    }
}
