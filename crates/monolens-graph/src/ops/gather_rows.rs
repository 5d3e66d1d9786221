use super::{Check, Inferred, Operator};
use crate::{Axis, DType, GraphError};

/// Picks the rows whose next token is wanted.
///
/// Inputs: f32 [rows, D]; [`crate::batch::SAMPLE_ROWS`] u32 [samples]. Result: f32 [samples, D].
#[derive(Clone, Debug, PartialEq)]
pub struct GatherRows;

impl Operator for GatherRows {
    const NAME: &'static str = "gather_rows";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(2..=2)?;
        let width = check.rows_of_f32(0)?;
        check.is_token_rows(0)?;
        check.is(1, DType::U32, [Axis::Samples.into()])?;
        Ok(Some((DType::F32, [Axis::Samples.into(), width.into()].into())))
    }
}
