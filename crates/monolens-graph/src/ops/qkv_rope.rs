use super::rope::check_rope_inputs;
use super::{Check, Heads, Inferred, Operator, QkvLayout, RmsNorm};
use crate::{Axis, DType, GraphError, Routed, WeightId};

/// Fused: RMSNorm, (routed) qkv projection, RoPE and KV write: [`super::Linear`] then [`super::Rope`].
///
/// Inputs: `x` f32 [rows, D]; then the last four of [`super::Rope`] (rows, rope, k, v; not in 8 bits, see
/// [`QkvRope::writes`]); [`crate::batch::ROUTING`] last if routed. Result: rotated queries f32 [rows, H·d].
#[derive(Clone, Debug, PartialEq)]
pub struct QkvRope {
    /// wqkv, [(H+2K)·d, D] per modality.
    pub weight: Routed<WeightId>,
    /// [(H+2K)·d] per modality.
    pub bias: Option<Routed<WeightId>>,
    /// RMSNorm of the input.
    pub norm: Option<RmsNorm>,
    /// Heads.
    pub heads: Heads,
    /// Layout of the qkv row.
    pub layout: QkvLayout,
}

impl QkvRope {
    /// Whether the fused operator writes keys and values of this type. Not in 8 bits: their factor is that of the largest
    /// element of a head, and in a fused kernel no thread sees a whole head.
    pub const fn writes(dtype: DType) -> bool {
        dtype.is_float()
    }

    /// Whether [`crate::batch::ROUTING`] is the last input.
    pub fn is_routed(&self) -> bool {
        self.weight.is_routed() || self.bias.is_some_and(|b| b.is_routed())
    }
}

impl Operator for QkvRope {
    const NAME: &'static str = "qkv_rope";

    fn weights(&self) -> Vec<WeightId> {
        let mut ids: Vec<WeightId> = self.norm.iter().map(|n| n.weight).collect();
        ids.extend(self.weight.iter());
        ids.extend(self.bias.iter().flat_map(|b| b.iter()));
        ids
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        let inputs = 5 + usize::from(self.is_routed());
        check.arity(inputs..=inputs)?;
        let inner = check.rows_of_f32(0)?;
        check.is_token_rows(0)?;
        if let Some(norm) = &self.norm {
            check.weight(norm.weight, &[inner])?;
        }
        for &weight in self.weight.iter() {
            check.weight(weight, &[self.heads.qkv_width(), inner])?;
        }
        for &bias in self.bias.iter().flat_map(|b| b.iter()) {
            check.weight(bias, &[self.heads.qkv_width()])?;
        }
        check_rope_inputs(check, &self.heads, 1)?;
        for state in [check.input(3), check.input(4)] {
            let what = format!("state {}", state.name);
            check.ensure(Self::writes(state.dtype), what, "floats", state.dtype)?;
        }
        if self.is_routed() {
            check.is_routing(5)?;
        }
        Ok(Some((DType::F32, [Axis::Rows.into(), self.heads.query_width().into()].into())))
    }
}
