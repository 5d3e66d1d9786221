//! Weights that a checkpoint holds as integers in groups.

use super::QuantizationConfig;
use crate::checkpoint::{CheckpointError, DType, TensorInfo};
use monolens_graph::{Bits, Grouped};

/// Ending of the tensor of integers, in the place of `weight`.
pub const PACKED: &str = "weight_packed";
/// Ending of the tensor of scales.
pub const SCALE: &str = "weight_scale";
/// Ending of the tensor that says the shape of the weight.
pub const SHAPE: &str = "weight_shape";
/// Endings of tensors that other schemes have: integers without a symmetric range, and columns in another order.
const OTHERS: [&str; 2] = ["weight_zero_point", "weight_g_idx"];

/// What a tensor's name begins with if it is one of those that stand for a weight: `x.` of `x.weight_packed`.
pub fn base_of(tensor: &str) -> Option<&str> {
    [PACKED, SCALE, SHAPE].iter().find_map(|ending| tensor.strip_suffix(ending)).filter(|base| base.ends_with('.'))
}

/// How the weight of this name and shape is stored if it is stored in groups; none if it is not.
///
/// # Errors
/// Tensors that are missing or do not fit, and schemes that the engine does not run.
pub fn packed(
    config: Option<&QuantizationConfig>,
    info: &dyn Fn(&str) -> Option<TensorInfo>,
    name: &str,
    shape: &[usize],
) -> Result<Option<Grouped>, CheckpointError> {
    let Some(base) = name.strip_suffix("weight").filter(|base| base.ends_with('.')) else { return Ok(None) };
    let words_name = format!("{base}{PACKED}");
    let Some(words) = info(&words_name) else { return Ok(None) };
    let fail = |tensor: &str, expected: String, got: String| {
        Err(CheckpointError::Packed { tensor: tensor.to_owned(), expected, got })
    };
    for other in OTHERS.map(|ending| format!("{base}{ending}")) {
        if info(&other).is_some() {
            return fail(&other, "symmetric groups of neighbouring columns".into(), "such a tensor".into());
        }
    }
    let &[rows, inner] = shape else {
        return fail(&words_name, "a matrix".into(), format!("a weight of shape {shape:?}"));
    };
    let bits = Bits::ALL.into_iter().find(|b| {
        words.dtype == DType::I32 && inner.is_multiple_of(b.per_word()) && words.shape == [rows, inner / b.per_word()]
    });
    let Some(bits) = bits else {
        let expected = format!("I32 [{rows}, {}] (4 bit) or [{rows}, {}] (8 bit)", inner / 8, inner / 4);
        return fail(&words_name, expected, format!("{} {:?}", words.dtype.name(), words.shape));
    };
    let scale_name = format!("{base}{SCALE}");
    let Some(scales) = info(&scale_name) else {
        return Err(CheckpointError::MissingTensor {
            tensor: scale_name,
            expected: format!("the scales of {words_name}"),
        });
    };
    let scale = scales.dtype.weight().ok_or(CheckpointError::DType {
        tensor: scale_name.clone(),
        got: scales.dtype.name(),
    })?;
    let groups = match scales.shape[..] {
        [r, groups] if r == rows && groups > 0 && inner.is_multiple_of(groups) => groups,
        _ => {
            let expected = format!("[{rows}, groups] with groups that divide {inner}");
            return fail(&scale_name, expected, format!("{:?}", scales.shape));
        }
    };
    let grouped = Grouped { bits, group: inner / groups, scale };
    if let Err((expected, got)) = grouped.check(shape) {
        return fail(&scale_name, expected, got);
    }
    if let Some(config) = config
        && !config.has(grouped, inner)
    {
        return fail(&words_name, format!("{config}, by quantization_config"), grouped.to_string());
    }
    Ok(Some(grouped))
}
