use super::{Check, Inferred, Operator};
use crate::{DType, Dim, GraphError, WeightId};

/// Cuts tiles into patches and projects them: a convolution with kernel = stride = patch (spec §4.1).
///
/// Input: pixels f32 [tiles, 3, S, S]. Weights [C, 3, P, P] and bias [C]. Result: f32 [tiles, (S/P)², C], row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchEmbed {
    /// [C, 3, P, P].
    pub weight: WeightId,
    /// [C].
    pub bias: WeightId,
    /// C.
    pub width: usize,
    /// P.
    pub patch: usize,
}

impl Operator for PatchEmbed {
    const NAME: &'static str = "patch_embed";

    fn weights(&self) -> Vec<WeightId> {
        vec![self.weight, self.bias]
    }

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(1..=1)?;
        let v = check.input(0);
        let [tiles, Dim::Const(3), Dim::Const(h), Dim::Const(w)] = v.shape.0[..] else {
            return Err(check.mismatch("input 0", "[tiles, 3, S, S]", &v.shape));
        };
        check.ensure(v.dtype == DType::F32, "input 0", DType::F32, v.dtype)?;
        check.ensure(
            h == w && self.patch > 0 && h % self.patch == 0,
            "tile side",
            format!("a square of whole patches of {}", self.patch),
            format!("{h} x {w}"),
        )?;
        check.weight(self.weight, &[self.width, 3, self.patch, self.patch])?;
        check.weight(self.bias, &[self.width])?;
        let patches = (h / self.patch) * (w / self.patch);
        Ok(Some((DType::F32, Shape3(tiles, patches, self.width).into())))
    }
}

struct Shape3(Dim, usize, usize);

impl From<Shape3> for crate::Shape {
    fn from(s: Shape3) -> Self {
        [s.0, s.1.into(), s.2.into()].into()
    }
}
