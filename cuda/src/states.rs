//! States: what lives on the device between runs.

use crate::gpu::{Buffer, Gpu};
use monolens_graph::backend::{BackendKind, HostTensor};
use monolens_graph::check::StateTable;
use monolens_graph::{BackendError, DType};
use std::rc::Rc;

const KIND: BackendKind = BackendKind::Cuda;

/// A state of `rows` × `width` elements.
#[derive(Debug)]
struct State {
    name: String,
    buffer: Option<Buffer>,
    dtype: DType,
    rows: usize,
    width: usize,
}

impl State {
    fn bytes(&self) -> usize {
        self.rows * self.width * self.dtype.bytes()
    }
}

/// All states. A state keeps its place when it is allocated again.
#[derive(Debug, Default)]
pub(crate) struct States {
    list: Vec<State>,
}

impl StateTable for States {
    fn state(&self, name: &str) -> Option<(DType, usize, usize)> {
        self.find(name).ok().map(|s| (s.dtype, s.rows, s.width))
    }
}

impl States {
    pub fn place(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|s| s.name == name)
    }

    /// The address of the state at a place, 0 if it has none.
    pub fn address(&self, place: usize) -> u64 {
        self.list.get(place).and_then(|s| s.buffer.as_ref()).map_or(0, |b| b.address)
    }

    pub fn bytes(&self) -> u64 {
        self.list.iter().filter_map(|s| s.buffer.as_ref()).map(|b| b.bytes).sum()
    }

    fn find(&self, name: &str) -> Result<&State, BackendError> {
        let state = self.list.iter().find(|s| s.name == name && s.buffer.is_some());
        state.ok_or_else(|| BackendError::no_state(KIND, name))
    }

    pub fn allocate(
        &mut self,
        gpu: &Rc<dyn Gpu>,
        name: &str,
        dtype: DType,
        rows: usize,
        width: usize,
    ) -> Result<(), BackendError> {
        let place = self.place(name).unwrap_or_else(|| {
            self.list.push(State { name: name.into(), buffer: None, dtype, rows: 0, width: 0 });
            self.list.len() - 1
        });
        let state = &mut self.list[place];
        // The old one first: its memory may be needed.
        state.buffer = None;
        if !matches!(dtype, DType::F32 | DType::BF16 | DType::I8) {
            return Err(BackendError::state(KIND, name, "f32, bf16 or i8", dtype));
        }
        let bytes = (rows as u64).checked_mul(width as u64).and_then(|n| n.checked_mul(dtype.bytes() as u64));
        let buffer = Buffer::new(gpu, &format!("state {name}"), bytes.unwrap_or(u64::MAX))?;
        buffer.zero()?;
        (state.buffer, state.dtype, state.rows, state.width) = (Some(buffer), dtype, rows, width);
        Ok(())
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), BackendError> {
        let state = self.find(name)?;
        if bytes.len() != state.bytes() {
            return Err(BackendError::state(KIND, name, format!("{} bytes", state.bytes()), bytes.len()));
        }
        state.buffer.as_ref().map_or(Ok(()), |b| b.write(0, bytes))
    }

    pub fn read(&self, name: &str) -> Result<HostTensor, BackendError> {
        let state = self.find(name)?;
        let bytes = state.buffer.as_ref().map_or(Ok(Vec::new()), |b| b.read(state.bytes()))?;
        Ok(HostTensor { dtype: state.dtype, shape: vec![state.rows, state.width], bytes })
    }
}
