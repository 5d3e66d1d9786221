use super::{Check, Inferred, Operator};
use crate::{DType, Dim, GraphError, WeightId};

/// Adds position embeddings and, with a class token, puts it in front of each tile (spec §4.2, §8).
///
/// Input: f32 [tiles, n, C]. Weights: `table` [1, 1 + n, C] (already interpolated to n positions; row 0 is the class
/// token's), `class` [1, 1, C]. Result: f32 [tiles, n, C], or [tiles, 1 + n, C] with `class`.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionEmbed {
    /// [1, 1 + n, C].
    pub table: WeightId,
    /// [1, 1, C]; present where a class token is wanted.
    pub class: Option<WeightId>,
}

impl Operator for PositionEmbed {
    const NAME: &'static str = "position_embed";

    fn weights(&self) -> Vec<WeightId> {
        std::iter::once(self.table).chain(self.class).collect()
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(1..=1)?;
        let width = check.rows_of_f32(0)?;
        let shape = &check.input(0).shape;
        let [tiles, Dim::Const(n), _] = shape.0[..] else {
            return Err(check.mismatch("input 0", "[tiles, n, C]", shape));
        };
        check.weight(self.table, &[1, 1 + n, width])?;
        if let Some(class) = self.class {
            check.weight(class, &[1, 1, width])?;
        }
        let rows = n + usize::from(self.class.is_some());
        Ok(Some((DType::F32, [tiles, rows.into(), width.into()].into())))
    }
}
