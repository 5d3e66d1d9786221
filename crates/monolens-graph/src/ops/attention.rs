use super::{Check, Heads, Inferred, Operator};
use crate::batch::PAGE_SIZE;
use crate::{Axis, DType, GraphError};

/// Causal grouped-query attention over the paged KV cache; visual tokens are causal too (spec §6).
///
/// Inputs: queries f32 [rows, H·d]; [`crate::batch::ROWS`]; [`crate::batch::PAGE_TABLE`] u32 [sequences, pages];
/// [`crate::batch::QUERY_BLOCKS`] u32 [query_blocks, 2]; the states `k`, `v` as [`super::Rope`] writes them.
/// Row n attends to keys 0..=position of its sequence; key t lies at slot
/// `PAGE_TABLE[sequence][t / PAGE_SIZE]·PAGE_SIZE + t % PAGE_SIZE`. `softmax(q·kᵀ·scale)·v` in f32.
/// Result: f32 [rows, H·d], heads in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Heads.
    pub heads: Heads,
    /// Factor on the scores, 1/√d.
    pub scale: f32,
}

/// Checks the inputs that [`Attention`] and [`super::AttentionMap`] share; `states` is where k (and v) begin.
pub(super) fn check_paged(check: &Check<'_>, heads: &Heads) -> Result<(), GraphError> {
    heads.check(check)?;
    check.is(0, DType::F32, [Axis::Rows.into(), heads.query_width().into()])?;
    check.is(1, DType::U32, [Axis::Rows.into(), 4.into()])?;
    check.is(2, DType::U32, [Axis::Sequences.into(), Axis::PagesPerSequence.into()])?;
    const { assert!(PAGE_SIZE.is_power_of_two()) };
    Ok(())
}

impl Operator for Attention {
    const NAME: &'static str = "attention";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(6..=6)?;
        check_paged(check, &self.heads)?;
        check.is(3, DType::U32, [Axis::QueryBlocks.into(), 2.into()])?;
        self.heads.check_cache(check, 4)?;
        self.heads.check_cache(check, 5)?;
        Ok(Some((DType::F32, check.input(0).shape.clone())))
    }
}
