use super::attention::check_paged;
use super::{Check, Heads, Inferred, Operator};
use crate::{Axis, DType, GraphError};

/// The softmax probabilities of [`super::Attention`], averaged over the query heads (spec §12); for looking inside.
///
/// Inputs: queries, rows and page table as [`super::Attention`]; the state `k`.
/// Result: f32 [rows, context], 0 beyond each row's position.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// Heads.
    pub heads: Heads,
    /// Factor on the scores, 1/√d.
    pub scale: f32,
}

impl Operator for AttentionMap {
    const NAME: &'static str = "attention_map";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(4..=4)?;
        check_paged(check, &self.heads)?;
        self.heads.check_cache(check, 3)?;
        Ok(Some((DType::F32, [Axis::Rows.into(), Axis::Context.into()].into())))
    }
}
