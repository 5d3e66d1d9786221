use super::{Check, Inferred, Operator};
use crate::{Axis, DType, GraphError, WeightId};

/// Looks up token embeddings; rows that stand for an image patch take their visual embedding instead (spec §5).
///
/// Inputs: [`crate::batch::ROWS`]; optionally [`crate::batch::VISUAL_ROWS`] u32 [rows] (slot in the visual state, or
/// [`crate::batch::NO_VISUAL`]) and the state [`crate::batch::VISUAL`] f32 [visual_slots, D].
/// Weight: `table` [V, D]. Result: f32 [rows, D]. Ids must be below V: the host checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Embed {
    /// [V, D].
    pub table: WeightId,
}

impl Operator for Embed {
    const NAME: &'static str = "embed";

    fn weights(&self) -> Vec<WeightId> {
        vec![self.table]
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(1..=3)?;
        check.is(0, DType::U32, [Axis::Rows.into(), 4.into()])?;
        let table = check.table(self.table)?;
        if check.len() > 1 {
            check.arity(3..=3)?;
            check.is(1, DType::U32, [Axis::Rows.into()])?;
            check.is_state(2, [Axis::VisualSlots.into(), table.into()])?;
        }
        Ok(Some((DType::F32, [Axis::Rows.into(), table.into()].into())))
    }
}
