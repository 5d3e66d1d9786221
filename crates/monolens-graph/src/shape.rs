//! Shapes whose dimensions are constants or named axes.

use std::fmt;

/// A size that is known only when a batch is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Axis {
    /// Token rows of the packed batch.
    Rows,
    /// Rows of which the next token is sampled.
    Samples,
    /// Image tiles of a vision run.
    Tiles,
    /// Sequences in the batch: rows of the page table.
    Sequences,
    /// Width of the page table.
    PagesPerSequence,
    /// Token slots of the KV pool (pages times [`crate::batch::PAGE_SIZE`]).
    KvSlots,
    /// Rows of the buffer that holds visual embeddings until their tokens are prefilled.
    VisualSlots,
    /// Blocks of [`crate::batch::ROUTE_BLOCK`] rows, the unit of modality routing.
    RouteBlocks,
    /// Blocks of at most [`crate::batch::QUERY_BLOCK`] rows of one sequence, the unit of prefill attention.
    QueryBlocks,
    /// Keys in an attention map.
    Context,
}

impl Axis {
    /// Every axis, in order of its index in [`Axes`].
    pub const ALL: [Axis; 10] = [
        Axis::Rows,
        Axis::Samples,
        Axis::Tiles,
        Axis::Sequences,
        Axis::PagesPerSequence,
        Axis::KvSlots,
        Axis::VisualSlots,
        Axis::RouteBlocks,
        Axis::QueryBlocks,
        Axis::Context,
    ];

    /// The name used in printed graphs.
    pub const fn name(self) -> &'static str {
        match self {
            Axis::Rows => "rows",
            Axis::Samples => "samples",
            Axis::Tiles => "tiles",
            Axis::Sequences => "sequences",
            Axis::PagesPerSequence => "pages",
            Axis::KvSlots => "kv_slots",
            Axis::VisualSlots => "visual_slots",
            Axis::RouteBlocks => "route_blocks",
            Axis::QueryBlocks => "query_blocks",
            Axis::Context => "context",
        }
    }
}

/// The size of every [`Axis`], for one run or as the limits a plan is made for. Unset axes are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Axes([usize; Axis::ALL.len()]);

impl Axes {
    /// All axes 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one axis set.
    #[must_use]
    pub fn with(mut self, axis: Axis, size: usize) -> Self {
        self.0[axis as usize] = size;
        self
    }

    /// The size of an axis.
    pub fn get(&self, axis: Axis) -> usize {
        self.0[axis as usize]
    }

    /// The first axis in which `self` is larger than `limits`.
    pub fn exceeds(&self, limits: &Axes) -> Option<Axis> {
        Axis::ALL.into_iter().find(|&axis| self.get(axis) > limits.get(axis))
    }
}

/// One dimension of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// Known when the graph is built.
    Const(usize),
    /// Known when a batch is run.
    Axis(Axis),
}

impl Dim {
    /// The size in a run.
    pub fn size(self, axes: &Axes) -> usize {
        match self {
            Dim::Const(n) => n,
            Dim::Axis(axis) => axes.get(axis),
        }
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Self {
        Dim::Const(n)
    }
}

impl From<Axis> for Dim {
    fn from(axis: Axis) -> Self {
        Dim::Axis(axis)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Const(n) => write!(f, "{n}"),
            Dim::Axis(axis) => f.write_str(axis.name()),
        }
    }
}

/// A shape, outermost dimension first; the last one is contiguous in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// The last dimension if it is constant: the width of a row.
    pub fn width(&self) -> Option<usize> {
        match self.0.last() {
            Some(Dim::Const(n)) => Some(*n),
            _ => None,
        }
    }

    /// All dimensions but the last: what counts the rows.
    pub fn leading(&self) -> &[Dim] {
        self.0.split_last().map_or(&[], |(_, rest)| rest)
    }

    /// Number of rows (product of the leading dimensions) in a run.
    pub fn rows(&self, axes: &Axes) -> usize {
        self.leading().iter().map(|d| d.size(axes)).product()
    }

    /// Number of elements in a run.
    pub fn elements(&self, axes: &Axes) -> usize {
        self.0.iter().map(|d| d.size(axes)).product()
    }

    /// Concrete sizes in a run.
    pub fn sizes(&self, axes: &Axes) -> Vec<usize> {
        self.0.iter().map(|d| d.size(axes)).collect()
    }

    /// The same shape with another last dimension.
    #[must_use]
    pub fn with_width(&self, width: usize) -> Shape {
        let mut dims = self.leading().to_vec();
        dims.push(width.into());
        Shape(dims)
    }
}

impl<const N: usize> From<[Dim; N]> for Shape {
    fn from(dims: [Dim; N]) -> Self {
        Shape(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}
