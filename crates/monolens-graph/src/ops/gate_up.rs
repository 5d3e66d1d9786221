use super::{Check, Inferred, Operator, RmsNorm};
use crate::{DType, GraphError, Routed, WeightId};

/// Fused: `silu(x·Gᵀ) ∘ (x·Uᵀ)`, each row with the experts of its modality: the upper half of the MMoE FFN,
/// optionally with the RMSNorm before it.
///
/// Inputs: `x` f32 [.., D]; [`crate::batch::ROUTING`] last if routed. Result: f32 [.., F].
#[derive(Clone, Debug, PartialEq)]
pub struct GateUp {
    /// w1, [F, D] per modality.
    pub gate: Routed<WeightId>,
    /// w3, [F, D] per modality.
    pub up: Routed<WeightId>,
    /// RMSNorm of the input.
    pub norm: Option<RmsNorm>,
}

impl GateUp {
    /// Whether [`crate::batch::ROUTING`] is the last input.
    pub fn is_routed(&self) -> bool {
        self.gate.is_routed()
    }
}

impl Operator for GateUp {
    const NAME: &'static str = "gate_up";

    fn weights(&self) -> Vec<WeightId> {
        let norm = self.norm.iter().map(|n| n.weight);
        norm.chain(self.gate.iter().copied()).chain(self.up.iter().copied()).collect()
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        let inputs = 1 + usize::from(self.is_routed());
        check.arity(inputs..=inputs)?;
        check.ensure(
            self.gate.is_routed() == self.up.is_routed(),
            "experts",
            "gate and up routed alike",
            "only one of them routed",
        )?;
        let inner = check.rows_of_f32(0)?;
        if let Some(norm) = &self.norm {
            check.weight(norm.weight, &[inner])?;
        }
        let out = check.matrices(&self.gate, inner)?;
        for &up in self.up.iter() {
            check.weight(up, &[out, inner])?;
        }
        if self.is_routed() {
            check.is_token_rows(0)?;
            check.is_routing(1)?;
        }
        Ok(Some((DType::F32, check.input(0).shape.with_width(out))))
    }
}
