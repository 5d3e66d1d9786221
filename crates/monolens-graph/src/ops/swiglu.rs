use super::{Check, Inferred, Operator};
use crate::{DType, GraphError};

/// `y = silu(gate) ∘ up` with `silu(t) = t / (1 + e^−t)`.
///
/// Inputs: `gate`, `up`, f32 of one shape. Result: that shape.
#[derive(Clone, Debug, PartialEq)]
pub struct SwiGlu;

impl Operator for SwiGlu {
    const NAME: &'static str = "swiglu";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(2..=2)?;
        check.rows_of_f32(0)?;
        let shape = check.input(0).shape.clone();
        check.is(1, DType::F32, shape.clone())?;
        Ok(Some((DType::F32, shape)))
    }
}
