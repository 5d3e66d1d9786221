use super::{Check, Inferred, Operator, RmsNorm};
use crate::{DType, Expert, GraphError, Routed, WeightId};

/// What a fused [`Linear`] adds its result to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residual {
    /// Nothing.
    None,
    /// `y = r + …`.
    Add,
    /// `y = r + scale ∘ …`, `scale` [out].
    Scaled(WeightId),
}

/// `y = x·Wᵀ (+ bias)`, each row with the weights of its modality: the routed (MMoE) projection.
///
/// Inputs: `x` f32 [.., in]; `r` f32 [.., out] if there is a residual; [`crate::batch::ROUTING`] last if routed
/// (then the leading dimension must be `rows`). Result: f32 [.., out].
/// Fused parts, set by the planner: `norm` of `x` first; after the bias GELU; then the residual.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// [out, in] per modality.
    pub weight: Routed<Expert>,
    /// [out] per modality.
    pub bias: Option<Routed<WeightId>>,
    /// Fused: RMSNorm of the input.
    pub norm: Option<RmsNorm>,
    /// Fused: exact GELU of the result.
    pub gelu: bool,
    /// Fused: what the result is added to.
    pub residual: Residual,
}

impl Linear {
    /// A plain projection with one weight and perhaps a bias for all rows.
    pub fn shared(weight: WeightId, bias: Option<WeightId>) -> Self {
        Self::routed(Routed::shared(Expert::Weight(weight)), bias.map(Routed::shared))
    }

    /// A projection with experts.
    pub fn routed(weight: Routed<Expert>, bias: Option<Routed<WeightId>>) -> Self {
        Self { weight, bias, norm: None, gelu: false, residual: Residual::None }
    }

    /// The matrices that there are, text first.
    pub fn matrices(&self) -> Vec<WeightId> {
        self.weight.iter().filter_map(|expert| expert.weight()).collect()
    }

    /// Which modalities have an identity for an expert: bit 0 text, bit 1 visual.
    pub fn identities(&self) -> u32 {
        let [text, visual] = self.weight.both().map(|expert| u32::from(expert == Expert::Identity));
        text | visual << 1
    }

    /// Whether [`crate::batch::ROUTING`] is the last input.
    pub fn is_routed(&self) -> bool {
        self.weight.is_routed() || self.bias.is_some_and(|b| b.is_routed())
    }
}

impl Operator for Linear {
    const NAME: &'static str = "linear";

    fn weights(&self) -> Vec<WeightId> {
        let mut ids: Vec<WeightId> = self.norm.iter().map(|n| n.weight).collect();
        ids.extend(self.matrices());
        ids.extend(self.bias.iter().flat_map(|b| b.iter()));
        if let Residual::Scaled(scale) = self.residual {
            ids.push(scale);
        }
        ids
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        let residual = self.residual != Residual::None;
        let inputs = 1 + usize::from(residual) + usize::from(self.is_routed());
        check.arity(inputs..=inputs)?;
        let inner = check.rows_of_f32(0)?;
        if let Some(norm) = &self.norm {
            check.weight(norm.weight, &[inner])?;
        }
        let experts = self.matrices();
        let Some(&first) = experts.first() else {
            return Err(check.mismatch("experts", "at least one with a weight", "only identities"));
        };
        let out = check.matrix(first, inner)?;
        for &id in &experts {
            check.weight(id, &[out, inner])?;
        }
        check.ensure(
            experts.len() == self.weight.iter().count() || out == inner,
            "identity expert",
            "a square weight beside it",
            format!("[{out}, {inner}]"),
        )?;
        for &bias in self.bias.iter().flat_map(|b| b.iter()) {
            check.weight(bias, &[out])?;
        }
        let shape = check.input(0).shape.with_width(out);
        if residual {
            check.is(1, DType::F32, shape.clone())?;
        }
        if let Residual::Scaled(scale) = self.residual {
            check.weight(scale, &[out])?;
        }
        if self.is_routed() {
            check.is_token_rows(0)?;
            check.is_routing(inputs - 1)?;
        }
        Ok(Some((DType::F32, shape)))
    }
}
