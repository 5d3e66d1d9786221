use super::{Check, Inferred, Operator};
use crate::batch::SAMPLING_WORDS;
use crate::{Axis, DType, GraphError};

/// Chooses the next token of each sampled row on the device, so that one id a sequence comes back.
///
/// Inputs: logits f32 [samples, V]; [`crate::batch::SAMPLING`] u32 [samples, 8] ([`crate::batch::SamplingRow`]);
/// [`crate::batch::SEEN`] u32 [samples, ⌈V/32⌉], bit t of a row set if token t occurred (for the repetition penalty).
/// Result: u32 [samples].
///
/// Definition, the order being that of the reference library (spec §11):
/// 1. penalty p ≠ 1: a seen token's logit l becomes `l/p` if l > 0, else `l·p`.
/// 2. temperature 0: the largest logit, the lowest id on ties. Else divide the logits by the temperature.
/// 3. `top_k` > 0: keep the logits not below the k-th largest (ties stay).
/// 4. `top_p` < 1: among the kept, keep those not below the largest threshold whose kept probability mass is ≥ top_p.
/// 5. Among what is left take the largest `logit + g(t)`, `g = −ln(−ln(u))` with
///    `u = (hash(seed, step, t) + 0.5)/2³²` ([`crate::batch::sampling_hash`]), which draws from the softmax
///    (Gumbel-max), the lowest id on ties.
///
/// Thresholds are found by bisection on the ordered bits of the logits, never by sorting. A row without any finite
/// logit, or with a NaN, gives [`crate::batch::NO_TOKEN`].
#[derive(Clone, Debug, PartialEq)]
pub struct Sample;

impl Operator for Sample {
    const NAME: &'static str = "sample";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(3..=3)?;
        let vocab = check.rows_of_f32(0)?;
        check.is(0, DType::F32, [Axis::Samples.into(), vocab.into()])?;
        check.is(1, DType::U32, [Axis::Samples.into(), SAMPLING_WORDS.into()])?;
        check.is(2, DType::U32, [Axis::Samples.into(), vocab.div_ceil(32).into()])?;
        Ok(Some((DType::U32, [Axis::Samples.into()].into())))
    }
}
