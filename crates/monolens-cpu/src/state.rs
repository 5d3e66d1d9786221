//! States: what lives between runs.

use crate::kernels::HeadRows;
use crate::weight::{Floats, View, zeros};
use monolens_graph::backend::HostTensor;
use monolens_graph::batch::PAGE_SIZE;
use monolens_graph::check::StateTable;
use monolens_graph::ops::Heads;
use monolens_graph::{BackendError, DType, eight};

/// What a state holds.
#[derive(Debug)]
pub(crate) enum Contents {
    Floats(Floats),
    /// Keys or values in 8 bits.
    Records(Vec<u8>),
}

impl Contents {
    /// `len` zeros of a type; `None` for a type that no state has or when there is no memory for them.
    pub(crate) fn zeros(dtype: DType, len: usize) -> Option<Self> {
        match dtype {
            DType::I8 => Some(Self::Records(zeros(len)?)),
            _ => Some(Self::Floats(Floats::zeros(dtype, len)?)),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Floats(floats) => floats.bytes(),
            Self::Records(bytes) => bytes,
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Floats(floats) => floats.bytes_mut(),
            Self::Records(bytes) => bytes,
        }
    }
}

/// A state: rows of one width.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) data: Contents,
}

impl State {
    pub(crate) fn dtype(&self) -> DType {
        match &self.data {
            Contents::Floats(floats) => floats.dtype(),
            Contents::Records(_) => DType::I8,
        }
    }

    /// A row of floats.
    pub(crate) fn row(&self, row: usize) -> View<'_> {
        self.part(row * self.width, self.width)
    }

    fn part(&self, at: usize, len: usize) -> View<'_> {
        match &self.data {
            Contents::Floats(floats) => floats.view().part(at, at + len),
            Contents::Records(_) => View::F32(&[]),
        }
    }

    /// Writes a row of floats.
    pub(crate) fn write(&mut self, row: usize, values: &[f32]) {
        if let Contents::Floats(floats) = &mut self.data {
            floats.write(row * self.width, values);
        }
    }

    /// The key or value of a kv head in a slot.
    pub(crate) fn head(&self, heads: &Heads, slot: usize, head: usize) -> View<'_> {
        match &self.data {
            Contents::Floats(_) => self.part(slot * self.width + head * heads.size, heads.size),
            Contents::Records(bytes) => {
                let record = eight::bytes(heads.size);
                let (scale, integers) = eight::parts(&bytes[slot * self.width + head * record..], heads.size);
                View::Scaled(integers, scale)
            }
        }
    }

    /// The keys or values of a kv head from a slot on.
    pub(crate) fn heads_from(&self, heads: &Heads, slot: usize, head: usize) -> HeadRows<'_> {
        let at = slot * self.width + head * heads.size;
        match &self.data {
            Contents::Floats(Floats::F32(v)) => HeadRows::F32(&v[at..], self.width),
            Contents::Floats(Floats::F16(v)) => HeadRows::F16(&v[at..], self.width),
            Contents::Floats(Floats::BF16(v)) => HeadRows::BF16(&v[at..], self.width),
            Contents::Records(bytes) => {
                let at = slot * self.width + head * eight::bytes(heads.size);
                HeadRows::Records(&bytes[at..], self.width)
            }
        }
    }

    /// Asks for part `part` of `parts` of the bytes of a page, to be read soon.
    pub(crate) fn prefetch(&self, slot: usize, part: usize, parts: usize) {
        let bytes = self.data.bytes();
        let row = bytes.len() / self.rows.max(1);
        let (from, len) = (slot * row, PAGE_SIZE * row);
        let part = from + len * part / parts..from + len * (part + 1) / parts;
        prefetch(bytes.get(part).unwrap_or_default());
    }

    /// Writes the key or value of a kv head in a slot.
    pub(crate) fn write_head(&mut self, heads: &Heads, slot: usize, head: usize, values: &[f32]) {
        match &mut self.data {
            Contents::Floats(floats) => floats.write(slot * self.width + head * heads.size, values),
            Contents::Records(bytes) => {
                let record = eight::bytes(heads.size);
                eight::round(values, &mut bytes[slot * self.width + head * record..][..record]);
            }
        }
    }

    pub(crate) fn to_host(&self) -> HostTensor {
        HostTensor {
            dtype: self.dtype(),
            shape: vec![self.rows, self.width],
            bytes: self.data.bytes().to_vec(),
        }
    }
}

fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, and it may be given any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    let _ = bytes;
}

/// All states of a backend.
#[derive(Debug, Default)]
pub(crate) struct States(Vec<State>);

impl StateTable for States {
    fn state(&self, name: &str) -> Option<(DType, usize, usize)> {
        self.index(name).map(|i| self.get(i)).map(|s| (s.dtype(), s.rows, s.width))
    }
}

impl States {
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|s| s.name == name)
    }

    pub(crate) fn get(&self, index: usize) -> &State {
        &self.0[index]
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> &mut State {
        &mut self.0[index]
    }

    /// Two different states to write, as `prepare` has seen to.
    pub(crate) fn pair_mut(&mut self, a: usize, b: usize) -> Result<[&mut State; 2], BackendError> {
        let error = |_| BackendError::Device("keys and values are one state".into());
        self.0.get_disjoint_mut([a, b]).map_err(error)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(|s| s.data.bytes().len() as u64).sum()
    }

    /// Adds a state in the place of one of the same name.
    pub(crate) fn put(&mut self, state: State) {
        match self.index(&state.name) {
            Some(i) => self.0[i] = state,
            None => self.0.push(state),
        }
    }

    /// Frees the memory of a state but keeps its place.
    pub(crate) fn release(&mut self, name: &str) {
        if let Some(i) = self.index(name) {
            let state = &mut self.0[i];
            (state.rows, state.data) = (0, Contents::Floats(Floats::F32(Vec::new())));
        }
    }
}
