use super::{Check, Inferred, Operator};
use crate::{DType, GraphError, WeightId};

/// `y = x / sqrt(mean(x²) + eps) ∘ weight`, statistics in f32 (spec §6).
///
/// Input: f32 [.., D]. Weight [D]. Result: f32 [.., D].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNorm {
    /// [D].
    pub weight: WeightId,
    /// Added to the mean square.
    pub eps: f32,
}

impl Operator for RmsNorm {
    const NAME: &'static str = "rms_norm";

    fn weights(&self) -> Vec<WeightId> {
        vec![self.weight]
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(1..=1)?;
        let width = check.rows_of_f32(0)?;
        check.weight(self.weight, &[width])?;
        Ok(Some((DType::F32, check.input(0).shape.clone())))
    }
}
