use super::{Check, Inferred, Operator};
use crate::{DType, GraphError, WeightId};

/// RMSNorm over the full width of the queries and of the keys inside concatenated [q | k | v] rows
/// (`qk_normalization` of InternViT, spec §8); values pass through.
///
/// Input: f32 [.., 3C]. Weights [C], [C]. Result: f32 [.., 3C].
#[derive(Clone, Debug, PartialEq)]
pub struct QkNorm {
    /// [C].
    pub q: WeightId,
    /// [C].
    pub k: WeightId,
    /// Added to the mean squares.
    pub eps: f32,
}

impl Operator for QkNorm {
    const NAME: &'static str = "qk_norm";

    fn weights(&self) -> Vec<WeightId> {
        vec![self.q, self.k]
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(1..=1)?;
        let width = check.rows_of_f32(0)?;
        check.ensure(width % 3 == 0, "width", "a multiple of 3", width)?;
        check.weight(self.q, &[width / 3])?;
        check.weight(self.k, &[width / 3])?;
        Ok(Some((DType::F32, check.input(0).shape.clone())))
    }
}
