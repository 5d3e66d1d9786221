use super::{Check, Inferred, Operator};
use crate::{DType, GraphError, WeightId};

/// `y = (x − mean) / sqrt(var + eps) ∘ weight + bias`, biased variance, statistics in f32.
///
/// Input: f32 [.., C]. Weights [C], [C]. Result: f32 [.., C].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNorm {
    /// [C].
    pub weight: WeightId,
    /// [C].
    pub bias: WeightId,
    /// Added to the variance.
    pub eps: f32,
}

impl Operator for LayerNorm {
    const NAME: &'static str = "layer_norm";

    fn weights(&self) -> Vec<WeightId> {
        vec![self.weight, self.bias]
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(1..=1)?;
        let width = check.rows_of_f32(0)?;
        check.weight(self.weight, &[width])?;
        check.weight(self.bias, &[width])?;
        Ok(Some((DType::F32, check.input(0).shape.clone())))
    }
}
