use super::{Check, Inferred, Operator};
use crate::{DType, GraphError, WeightId};

/// `y = a + scale ∘ b`: the residual connection with layer scale of InternViT (spec §8).
///
/// Inputs: `a`, `b`, f32 [.., C]. Weight: `scale` [C]. Result: f32 [.., C].
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledAdd {
    /// [C].
    pub scale: WeightId,
}

impl Operator for ScaledAdd {
    const NAME: &'static str = "scaled_add";

    fn weights(&self) -> Vec<WeightId> {
        vec![self.scale]
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(2..=2)?;
        let width = check.rows_of_f32(0)?;
        let shape = check.input(0).shape.clone();
        check.is(1, DType::F32, shape.clone())?;
        check.weight(self.scale, &[width])?;
        Ok(Some((DType::F32, shape)))
    }
}
