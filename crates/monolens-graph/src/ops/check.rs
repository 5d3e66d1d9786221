//! The checks that shape inference is made of.

use crate::{Axis, DType, Graph, GraphError, Routed, Shape, Source, Value, ValueId, WeightId};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// The inputs of a node under construction, with checks that name what they expected and got.
#[derive(Debug)]
pub struct Check<'g> {
    graph: &'g Graph,
    node: &'g str,
    operator: &'static str,
    inputs: &'g [ValueId],
}

impl<'g> Check<'g> {
    pub(crate) fn new(
        graph: &'g Graph,
        node: &'g str,
        operator: &'static str,
        inputs: &'g [ValueId],
    ) -> Self {
        Self { graph, node, operator, inputs }
    }

    /// The error that something does not fit.
    pub fn mismatch(&self, what: impl Into<String>, expected: impl Display, got: impl Display) -> GraphError {
        GraphError::Mismatch {
            node: self.node.into(),
            operator: self.operator,
            what: what.into(),
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }

    /// Fails with [`Check::mismatch`] unless `ok`.
    ///
    /// # Errors
    /// As said.
    pub fn ensure(
        &self,
        ok: bool,
        what: impl Into<String>,
        expected: impl Display,
        got: impl Display,
    ) -> Result<(), GraphError> {
        if ok { Ok(()) } else { Err(self.mismatch(what, expected, got)) }
    }

    /// Checks the number of inputs.
    ///
    /// # Errors
    /// When it is outside the range.
    pub fn arity(&self, range: RangeInclusive<usize>) -> Result<(), GraphError> {
        if range.contains(&self.inputs.len()) {
            return Ok(());
        }
        let (lo, hi) = range.into_inner();
        let expected = if lo == hi { lo.to_string() } else { format!("{lo} to {hi}") };
        Err(GraphError::Arity {
            node: self.node.into(),
            operator: self.operator,
            expected,
            got: self.inputs.len(),
        })
    }

    /// How many inputs there are.
    pub(super) fn len(&self) -> usize {
        self.inputs.len()
    }

    /// Input number `i`; call [`Check::arity`] first.
    pub fn input(&self, i: usize) -> &'g Value {
        self.graph.value(self.inputs[i])
    }

    /// Input `i` as f32 rows of a constant width; gives the width.
    ///
    /// # Errors
    /// When it is something else.
    pub fn rows_of_f32(&self, i: usize) -> Result<usize, GraphError> {
        let v = self.input(i);
        match v.shape.width() {
            Some(width) if v.dtype == DType::F32 && width > 0 => Ok(width),
            _ => Err(self.mismatch(
                format!("input {i} ({})", v.name),
                "f32 rows of a constant width",
                format!("{} {}", v.dtype, v.shape),
            )),
        }
    }

    /// Input `i` must be of this type and shape.
    ///
    /// # Errors
    /// When it is not.
    pub fn is(&self, i: usize, dtype: DType, shape: impl Into<Shape>) -> Result<(), GraphError> {
        let (v, shape) = (self.input(i), shape.into());
        self.ensure(
            v.dtype == dtype && v.shape == shape,
            format!("input {i} ({})", v.name),
            format!("{dtype} {shape}"),
            format!("{} {}", v.dtype, v.shape),
        )
    }

    /// Input `i` must be a state of floats with this shape.
    ///
    /// # Errors
    /// When it is not.
    pub fn is_state(&self, i: usize, shape: impl Into<Shape>) -> Result<(), GraphError> {
        let (v, shape) = (self.input(i), shape.into());
        self.ensure(
            v.source == Source::State && v.dtype.is_float() && v.shape == shape,
            format!("input {i} ({})", v.name),
            format!("a state of floats {shape}"),
            format!("{:?} of {} {}", v.source, v.dtype, v.shape),
        )
    }

    /// Input `i` must be the routing table ([`crate::batch::ROUTING`]).
    ///
    /// # Errors
    /// When it is not.
    pub fn is_routing(&self, i: usize) -> Result<(), GraphError> {
        self.is(i, DType::U32, [Axis::RouteBlocks.into(), (1 + crate::batch::ROUTE_BLOCK).into()])
    }

    /// Input `i` must have the token rows of the batch as its one leading dimension.
    ///
    /// # Errors
    /// When it has not.
    pub fn is_token_rows(&self, i: usize) -> Result<(), GraphError> {
        let v = self.input(i);
        self.ensure(
            v.shape.leading() == [Axis::Rows.into()],
            format!("input {i} ({})", v.name),
            "[rows, width]",
            &v.shape,
        )
    }

    /// An embedding table must be a matrix; gives its width.
    ///
    /// # Errors
    /// When it is not.
    pub fn table(&self, id: WeightId) -> Result<usize, GraphError> {
        let w = self.graph.weight(id);
        match w.shape[..] {
            [rows, width] if rows > 0 && width > 0 => Ok(width),
            _ => Err(self.mismatch(format!("weight {}", w.name), "[rows, width]", format!("{:?}", w.shape))),
        }
    }

    /// A weight must have this shape.
    ///
    /// # Errors
    /// When it has another.
    pub fn weight(&self, id: WeightId, shape: &[usize]) -> Result<(), GraphError> {
        let w = self.graph.weight(id);
        self.ensure(
            w.shape == shape,
            format!("weight {}", w.name),
            format!("{shape:?}"),
            format!("{:?}", w.shape),
        )
    }

    /// A weight must be a matrix with `inner` columns; gives its number of rows.
    ///
    /// # Errors
    /// When it is not.
    pub fn matrix(&self, id: WeightId, inner: usize) -> Result<usize, GraphError> {
        let w = self.graph.weight(id);
        match w.shape[..] {
            [out, columns] if columns == inner && out > 0 => Ok(out),
            _ => Err(self.mismatch(
                format!("weight {}", w.name),
                format!("[out, {inner}]"),
                format!("{:?}", w.shape),
            )),
        }
    }

    /// The matrices of all modalities, of one shape with `inner` columns; gives their number of rows.
    ///
    /// # Errors
    /// When one is something else.
    pub fn matrices(&self, ids: &Routed<WeightId>, inner: usize) -> Result<usize, GraphError> {
        let out = self.matrix(ids.text, inner)?;
        if let Some(visual) = ids.visual {
            self.weight(visual, &[out, inner])?;
        }
        Ok(out)
    }
}
