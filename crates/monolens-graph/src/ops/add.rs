use super::{Check, Inferred, Operator};
use crate::{DType, GraphError};

/// `y = a + b`, element by element: the residual connection.
///
/// Inputs: `a`, `b`, f32 of one shape. Result: that shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Add;

impl Operator for Add {
    const NAME: &'static str = "add";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(2..=2)?;
        check.rows_of_f32(0)?;
        let shape = check.input(0).shape.clone();
        check.is(1, DType::F32, shape.clone())?;
        Ok(Some((DType::F32, shape)))
    }
}
