use super::{Check, Inferred, Operator};
use crate::{Axis, DType, Dim, GraphError};

/// Writes the tokens of each tile into a state, from a first slot per tile on.
///
/// Inputs: f32 [tiles, n, D]; first slots u32 [tiles]; the state f32 [visual_slots, D]. Token i of tile t is written at
/// slot `first[t] + i`. No result.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreRows;

impl Operator for StoreRows {
    const NAME: &'static str = "store_rows";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(3..=3)?;
        let width = check.rows_of_f32(0)?;
        let shape = &check.input(0).shape;
        let [Dim::Axis(Axis::Tiles), Dim::Const(_), _] = shape.0[..] else {
            return Err(check.mismatch("input 0", "[tiles, n, D]", shape));
        };
        check.is(1, DType::U32, [Axis::Tiles.into()])?;
        check.is_state(2, [Axis::VisualSlots.into(), width.into()])?;
        check.ensure(check.input(2).dtype == DType::F32, "state", DType::F32, check.input(2).dtype)?;
        Ok(None)
    }
}
