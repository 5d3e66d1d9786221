//! How a node becomes launches in a run.

use super::{Inputs, Pool};
use crate::gpu::{Argument, Buffer, Recording};
use crate::states::States;
use monolens_graph::Axes;
use std::rc::Rc;

/// Where a kernel's buffer is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// There is none.
    None,
    /// A slot of activation memory, or of scratch memory behind those.
    Slot(usize),
    /// An input, by its value.
    Input(usize),
    /// A state, by its place among the states.
    State(usize),
    /// A weight.
    Weight(Rc<Buffer>),
}

/// The memory of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory<'r> {
    pub pool: &'r Pool,
    /// Which buffer of the pool is each slot.
    pub pool_of: &'r [usize],
    pub inputs: &'r Inputs,
    pub states: &'r States,
}

/// A run: its sizes and its memory, none to see only which launches there would be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'r> {
    pub axes: &'r Axes,
    pub memory: Option<Memory<'r>>,
}

impl Run<'_> {
    /// The address of a place.
    pub fn address(&self, place: &Place) -> u64 {
        let Some(memory) = &self.memory else { return 0 };
        match place {
            Place::None => 0,
            Place::Slot(slot) => memory.pool_of.get(*slot).map_or(0, |&buffer| memory.pool.address(buffer)),
            Place::Input(id) => memory.inputs.address(*id).unwrap_or(0),
            Place::State(state) => memory.states.address(*state),
            Place::Weight(buffer) => buffer.address,
        }
    }

    /// A place as an argument.
    pub fn at(&self, place: &Place) -> Argument {
        Argument::Pointer(self.address(place))
    }

    /// The sizes that kernels read from memory.
    pub fn sizes(&self) -> Argument {
        Argument::Pointer(self.memory.map_or(0, |m| m.inputs.sizes()))
    }
}

/// Adds the launches of a node to a run's.
pub(crate) type Launches = Box<dyn Fn(&Run<'_>, &mut Recording)>;

/// A word.
pub(crate) fn word(n: usize) -> Argument {
    Argument::Word(u32::try_from(n).unwrap_or(u32::MAX))
}

/// A grid of this many blocks.
pub(crate) fn blocks(n: usize) -> [u32; 3] {
    [u32::try_from(n).unwrap_or(u32::MAX), 1, 1]
}

/// Threads of a block of kernels with one thread an element.
pub(crate) const THREADS: u32 = 256;

/// The grid of one thread an element.
pub(crate) fn threads(elements: usize) -> [u32; 3] {
    blocks(elements.div_ceil(THREADS as usize))
}
