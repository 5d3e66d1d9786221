//! States: what lives between runs.

use crate::weight::{Floats, View};
use monolens_graph::backend::HostTensor;
use monolens_graph::check::StateTable;
use monolens_graph::{BackendError, DType};

/// A state: rows of one width.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    pub(crate) data: Floats,
}

impl State {
    pub(crate) fn dtype(&self) -> DType {
        self.data.dtype()
    }

    pub(crate) fn view(&self) -> View<'_> {
        self.data.view()
    }

    /// Writes part of a row from column `column` on.
    pub(crate) fn write(&mut self, row: usize, column: usize, values: &[f32]) {
        self.data.write(row * self.width + column, values);
    }

    pub(crate) fn to_host(&self) -> HostTensor {
        HostTensor {
            dtype: self.dtype(),
            shape: vec![self.rows, self.width],
            bytes: self.data.bytes().to_vec(),
        }
    }
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
            (state.rows, state.data) = (0, Floats::F32(Vec::new()));
        }
    }
}
