//! What a graph's weight names stand for: stored tensors, or ones derived from them (spec §4.2).

use crate::checkpoint::{CheckpointError, DType, Layout, TensorInfo, TensorSource};
use crate::config::ModelConfig;
use crate::quant::{self, Quantization};
use monolens_graph::{Graph, Grouped, WeightFormat, WeightSpec};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The stored position table.
const POSITIONS: &str = "vision_model.embeddings.position_embedding";

/// The position table interpolated to the tile's grid; a name of ours.
const INTERPOLATED: &str = "vision_model.embeddings.position_embedding.interpolated";

/// How a graph's weight comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin<'a> {
    /// Stored under this name.
    Stored(&'a str),
    /// [`interpolate_positions`] of the stored table.
    Positions {
        /// Name of the stored table, [1, 1 + from², C].
        tensor: &'static str,
        /// Side of the stored grid.
        from: usize,
        /// Side of the tile's grid.
        to: usize,
    },
}

impl<'a> Origin<'a> {
    /// The origin of the weight of this name.
    pub fn of(config: &ModelConfig, weight: &'a str) -> Self {
        if weight == INTERPOLATED {
            Origin::Positions {
                tensor: POSITIONS,
                from: config.vision.position_grid(),
                to: config.patches_per_side(),
            }
        } else {
            Origin::Stored(weight)
        }
    }

    /// The stored tensor that has to be read.
    pub fn tensor(&self) -> &'a str {
        match self {
            Origin::Stored(name) => name,
            Origin::Positions { tensor, .. } => tensor,
        }
    }

    /// Shape that the stored tensor must have for a weight of shape `wanted`.
    pub fn stored_shape(&self, wanted: &[usize]) -> Vec<usize> {
        match self {
            Origin::Stored(_) => wanted.to_vec(),
            Origin::Positions { from, .. } => {
                let channels = wanted.last().copied().unwrap_or_default();
                vec![1, 1 + from * from, channels]
            }
        }
    }

    /// Turns the stored bytes into the weight's. Derived weights are f32.
    ///
    /// # Errors
    /// [`CheckpointError::DType`] if the tensor is no weight.
    pub fn finish<'b>(
        &self,
        dtype: DType,
        bytes: Cow<'b, [u8]>,
    ) -> Result<(DType, Cow<'b, [u8]>), CheckpointError> {
        match self {
            Origin::Stored(_) => Ok((dtype, bytes)),
            Origin::Positions { tensor, from, to } => {
                let values = crate::checkpoint::widen(dtype, &bytes).ok_or_else(|| {
                    CheckpointError::DType { tensor: (*tensor).to_owned(), got: dtype.name() }
                })?;
                let table = interpolate_positions(&values, *from, *to);
                let bytes = table.iter().flat_map(|x| x.to_le_bytes()).collect();
                Ok((DType::F32, Cow::Owned(bytes)))
            }
        }
    }
}

/// Name and shape of the position weight that a model's vision graph uses.
pub(crate) fn position_weight(config: &ModelConfig) -> (&'static str, [usize; 3]) {
    let side = config.patches_per_side();
    let shape = [1, 1 + side * side, config.vision.hidden_size];
    let stored = side == config.vision.position_grid();
    (if stored { POSITIONS } else { INTERPOLATED }, shape)
}

/// Interpolates a position table [1 + from², C] to [1 + to², C], bicubically in f32; row 0 (the
/// class token's) stays. Cubic coefficient -0.75, border clamped, no antialiasing (spec §4.2).
///
/// `table` must have `1 + from²` rows.
pub fn interpolate_positions(table: &[f32], from: usize, to: usize) -> Vec<f32> {
    let channels = table.len() / (1 + from * from);
    let (class, grid) = table.split_at(channels);
    let taps: Vec<_> = (0..to).map(|out| cubic_taps(out, from, to)).collect();
    let mut out = Vec::with_capacity((1 + to * to) * channels);
    out.extend_from_slice(class);
    for (ys, wys) in &taps {
        for (xs, wxs) in &taps {
            for c in 0..channels {
                let row = |y: usize| -> f32 {
                    let at = |x: usize| grid[(y * from + x) * channels + c];
                    xs.iter().zip(wxs).map(|(&x, w)| at(x) * w).sum()
                };
                out.push(ys.iter().zip(wys).map(|(&y, w)| row(y) * w).sum());
            }
        }
    }
    out
}

/// Four source indices and their weights.
fn cubic_taps(out: usize, from: usize, to: usize) -> ([usize; 4], [f32; 4]) {
    const A: f32 = -0.75;
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f32| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let source = (out as f32 + 0.5) * (from as f32 / to as f32) - 0.5;
    let floor = source.floor();
    let t = source - floor;
    let index = |offset: i64| (floor as i64 + offset).clamp(0, from as i64 - 1) as usize;
    ([index(-1), index(0), index(1), index(2)], [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)])
}

/// Checks that every weight of a graph is stored with the right shape and a weight type.
///
/// # Errors
/// [`CheckpointError`] naming the first tensor that is missing or does not fit.
pub fn check_graph(
    config: &ModelConfig,
    graph: &Graph,
    tensors: &dyn TensorSource,
) -> Result<(), CheckpointError> {
    graph.weights.iter().try_for_each(|weight| check_weight(config, weight, tensors))
}

fn check_weight(
    config: &ModelConfig,
    weight: &WeightSpec,
    tensors: &dyn TensorSource,
) -> Result<(), CheckpointError> {
    let supply = Supply::of(config, weight, None, &|tensor| tensors.info(tensor).cloned())?;
    let Supply::Packed(_) = supply else { return Ok(()) };
    // A layout alone has no bytes; the tensors' own shapes have been checked.
    let tensor = format!("{}{}", weight.name.trim_end_matches("weight"), quant::SHAPE);
    let (Some(info), Ok(bytes)) = (tensors.info(&tensor), tensors.bytes(&tensor)) else { return Ok(()) };
    let said: Vec<u64> = match info.dtype {
        DType::I64 => bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect(),
        DType::I32 => bytes.as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b).into()).collect(),
        other => {
            let (expected, got) = ("I64 or I32".to_owned(), other.name().to_owned());
            return Err(CheckpointError::Packed { tensor, expected, got });
        }
    };
    if said.iter().copied().eq(weight.shape.iter().map(|&n| n as u64)) {
        return Ok(());
    }
    Err(CheckpointError::Packed { tensor, expected: format!("{:?}", weight.shape), got: format!("{said:?}") })
}

/// How a graph's weight gets from a checkpoint into a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supply {
    /// Floats as they are stored.
    Stored(monolens_graph::DType),
    /// Made of a stored tensor, see [`Origin`]; f32.
    Derived,
    /// Integers in groups as they are stored, see [`quant::packed()`].
    Packed(Grouped),
    /// Stored floats, rounded on the way.
    Rounded(Grouped),
}

impl Supply {
    /// For a checkpoint whose tensors `info` knows, and a wish for smaller weights. What is stored in groups stays so.
    ///
    /// # Errors
    /// [`CheckpointError`]: a tensor that is missing, has another shape or a type that is no weight's.
    pub fn of(
        config: &ModelConfig,
        weight: &WeightSpec,
        wish: Option<Quantization>,
        info: &dyn Fn(&str) -> Option<TensorInfo>,
    ) -> Result<Self, CheckpointError> {
        let origin = Origin::of(config, &weight.name);
        let shape = origin.stored_shape(&weight.shape);
        let tensor = origin.tensor();
        let Some(found) = info(tensor) else {
            if let Some(packed) = quant::packed(config.quantization.as_ref(), info, tensor, &shape)? {
                return Ok(Self::Packed(packed));
            }
            let expected = format!("one of shape {shape:?}");
            return Err(CheckpointError::MissingTensor { tensor: tensor.to_owned(), expected });
        };
        if found.shape != shape {
            let tensor = tensor.to_owned();
            return Err(CheckpointError::Shape { tensor, expected: shape, got: found.shape });
        }
        let dtype = found
            .dtype
            .weight()
            .ok_or_else(|| CheckpointError::DType { tensor: tensor.to_owned(), got: found.dtype.name() })?;
        let rounded = wish.and_then(|wish| wish.format(&weight.name, &weight.shape));
        Ok(match (origin, rounded) {
            (Origin::Positions { .. }, _) => Self::Derived,
            (Origin::Stored(_), Some(grouped)) => Self::Rounded(grouped),
            (Origin::Stored(_), None) => Self::Stored(dtype),
        })
    }

    /// Whether a backend gets the floats of a stored tensor, or what is made of them.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Stored(_) | Self::Derived)
    }

    /// The format in which a backend gets it.
    pub fn format(self) -> WeightFormat {
        match self {
            Self::Stored(dtype) => dtype.into(),
            Self::Derived => monolens_graph::DType::F32.into(),
            Self::Packed(grouped) | Self::Rounded(grouped) => WeightFormat::Grouped(grouped),
        }
    }
}

/// Refuses a wish for smaller weights where there is nothing to round: all that could be is in groups already.
///
/// # Errors
/// [`CheckpointError::RoundedAlready`].
pub fn check_wish(
    config: &ModelConfig,
    wish: Option<Quantization>,
    supplies: &[Supply],
) -> Result<(), CheckpointError> {
    let rounds = supplies.iter().any(|supply| matches!(supply, Supply::Rounded(_)));
    match (wish, &config.quantization) {
        (Some(wish), Some(stored)) if !rounds => {
            Err(CheckpointError::RoundedAlready { wish, stored: stored.to_string() })
        }
        _ => Ok(()),
    }
}

/// Stored tensors that none of the graphs uses, `rotary_emb` buffers aside.
pub fn unused_tensors<'t>(
    config: &ModelConfig,
    graphs: &[&Graph],
    tensors: &'t dyn TensorSource,
) -> Vec<&'t str> {
    let used: BTreeSet<&str> = graphs
        .iter()
        .flat_map(|graph| &graph.weights)
        .map(|weight| Origin::of(config, &weight.name).tensor())
        .collect();
    let mut names = tensors.names();
    let is_packed =
        |name: &str| quant::base_of(name).is_some_and(|base| used.contains(format!("{base}weight").as_str()));
    names.retain(|name| !used.contains(name) && !is_packed(name) && !name.contains("rotary_emb."));
    names
}

/// A layout alone has no bytes: tensors are fetched by range, see [`Layout::get`].
impl TensorSource for Layout {
    fn names(&self) -> Vec<&str> {
        self.iter().map(|(name, _)| name).collect()
    }

    fn info(&self, tensor: &str) -> Option<&TensorInfo> {
        self.get(tensor).map(|at| &at.info)
    }

    fn bytes(&self, tensor: &str) -> Result<Cow<'_, [u8]>, CheckpointError> {
        Err(CheckpointError::MissingTensor {
            tensor: tensor.to_owned(),
            expected: "its bytes, but only the layout is here".to_owned(),
        })
    }
}
