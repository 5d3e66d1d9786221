use super::{Check, Inferred, Operator};
use crate::{DType, Dim, GraphError};

/// In which order pixel shuffle lists its tokens (`ps_version`, spec §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOrder {
    /// `v2`: token (R, C) is number R·(w/s) + C.
    RowMajor,
    /// `v1`: token (R, C) is number C·(h/s) + R.
    ColumnMajor,
}

/// Folds s×s neighbouring patches into the channels of one token (spec §4.4).
///
/// Input: f32 [tiles, side² (+ 1), C]; with `skip_class` row 0 is dropped. Token (R, C) has the channels
/// `[(di·s + dj)·C + c] = x[s·R + di, s·C + dj, c]`. Result: f32 [tiles, (side/s)², s²·C].
#[derive(Clone, Debug, PartialEq)]
pub struct PixelShuffle {
    /// Patches along a side of the tile.
    pub side: usize,
    /// s: 1/downsample_ratio.
    pub scale: usize,
    /// Token order.
    pub order: TokenOrder,
    /// Whether row 0 of each tile is a class token to drop.
    pub skip_class: bool,
}

impl Operator for PixelShuffle {
    const NAME: &'static str = "pixel_shuffle";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(1..=1)?;
        let width = check.rows_of_f32(0)?;
        let shape = &check.input(0).shape;
        let rows = self.side * self.side + usize::from(self.skip_class);
        let [tiles, Dim::Const(n), _] = shape.0[..] else {
            return Err(check.mismatch("input 0", "[tiles, n, C]", shape));
        };
        check.ensure(n == rows, "rows of a tile", rows, n)?;
        check.ensure(
            self.scale > 0 && self.side > 0 && self.side.is_multiple_of(self.scale),
            "scale",
            format!("a divisor of {}", self.side),
            self.scale,
        )?;
        let tokens = (self.side / self.scale).pow(2);
        let channels = self.scale * self.scale * width;
        Ok(Some((DType::F32, [tiles, tokens.into(), channels.into()].into())))
    }
}
