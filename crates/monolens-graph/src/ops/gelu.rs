use super::{Check, Inferred, Operator};
use crate::{DType, GraphError};

/// Exact GELU: `y = x/2 · (1 + erf(x/√2))`.
///
/// Input: f32 [.., C]. Result: the same shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Gelu;

impl Operator for Gelu {
    const NAME: &'static str = "gelu";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(1..=1)?;
        check.rows_of_f32(0)?;
        Ok(Some((DType::F32, check.input(0).shape.clone())))
    }
}
