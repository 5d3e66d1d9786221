//! Launches of kernels: which, with what parameters, over what grid.

use crate::pipelines::Permutation;
use monolens_graph::Axes;

/// 32-bit words of a launch's parameters.
pub(crate) const WORDS: usize = (crate::pipelines::PARAMS_BYTES / 4) as usize;
/// Operations that stand for a workgroup of any kernel.
const A_WORKGROUP: f64 = 4096.0;
/// The largest size of a grid in one dimension.
pub(crate) const GRID: u32 = 65_535;

/// Where a kernel's buffer is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A slot of activation memory, or of scratch memory behind those.
    Slot(usize),
    /// A slice of the program's inputs.
    Input { offset: u64, size: u64 },
    /// The index inputs of the program, from the first to the last.
    Tables,
    /// A state by name.
    State(String),
    /// All vectors.
    Vectors,
    /// A buffer of its own: part of a weight.
    Buffer(wgpu::Buffer),
}

/// A shader permutation and the buffers it binds.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub shader: Permutation,
    pub places: Vec<Place>,
    /// Which of them it writes.
    pub writes: Vec<bool>,
    pub pipeline: Option<wgpu::ComputePipeline>,
    /// With the generation of buffers it was made for.
    pub group: Option<(u64, wgpu::BindGroup)>,
}

/// Index of a [`Kernel`] in its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelId(pub usize);

/// One dispatch.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub kernel: KernelId,
    pub words: [u32; WORDS],
    pub grid: [u32; 3],
    /// Floating-point operations, roughly, of kernels with more than a few an element.
    pub work: f64,
}

impl Launch {
    pub fn new(kernel: KernelId, words: &[u32], grid: [u32; 3]) -> Self {
        let mut all = [0; WORDS];
        all[..words.len()].copy_from_slice(words);
        Self { kernel, words: all, grid, work: 0.0 }
    }

    pub fn work(mut self, operations: f64) -> Self {
        self.work = operations;
        self
    }

    /// What it costs: by this a long run is cut into submits.
    pub fn cost(&self) -> f64 {
        self.work + self.grid.iter().map(|&n| f64::from(n)).product::<f64>() * A_WORKGROUP
    }
}

/// The launches of a node in a run with these axes.
pub(crate) type Launches = Box<dyn Fn(&Axes, &mut Vec<Launch>)>;

/// A grid of at least `groups` workgroups, numbered row by row.
pub(crate) fn spread(groups: usize) -> [u32; 3] {
    let groups = u32::try_from(groups).unwrap_or(u32::MAX);
    let x = groups.min(GRID);
    [x, if x == 0 { 0 } else { groups.div_ceil(x) }, 1]
}

/// The grid of one thread an element, 256 to a workgroup.
pub(crate) fn threads(elements: usize) -> [u32; 3] {
    spread(elements.div_ceil(256))
}

/// Pieces of at most [`GRID`] of `n`: first and number.
pub(crate) fn pieces(n: usize) -> impl Iterator<Item = (u32, u32)> {
    (0..n).step_by(GRID as usize).map(move |first| (first as u32, (n - first).min(GRID as usize) as u32))
}
