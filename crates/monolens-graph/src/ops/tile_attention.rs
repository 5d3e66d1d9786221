use super::{Check, Inferred, Operator};
use crate::{DType, GraphError};

/// Attention without a mask inside each tile (the modular model's vision encoder, spec §8).
///
/// Input: f32 [tiles, n, 3C], rows [q | k | v], each [heads, C/heads]. `softmax(q·kᵀ·scale)·v` among the n rows of a tile.
/// Result: f32 [tiles, n, C].
#[derive(Clone, Debug, PartialEq)]
pub struct TileAttention {
    /// Heads, dividing C.
    pub heads: usize,
    /// Factor on the scores.
    pub scale: f32,
}

impl Operator for TileAttention {
    const NAME: &'static str = "tile_attention";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(1..=1)?;
        let width = check.rows_of_f32(0)?;
        let shape = &check.input(0).shape;
        check.ensure(shape.0.len() == 3, "input 0", "[tiles, n, 3C]", shape)?;
        check.ensure(
            self.heads > 0 && width % (3 * self.heads) == 0,
            "width",
            format!("a multiple of 3·{} heads", self.heads),
            width,
        )?;
        Ok(Some((DType::F32, shape.with_width(width / 3))))
    }
}
