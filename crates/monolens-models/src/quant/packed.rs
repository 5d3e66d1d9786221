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
    [PACKED, SCALE, SHAPE]
        .iter()
        .find_map(|ending| tensor.strip_suffix(ending))
        .filter(|base| base.ends_with('.'))
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
        words.dtype == DType::I32
            && inner.is_multiple_of(b.per_word())
            && words.shape == [rows, inner / b.per_word()]
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
    let scale = scales
        .dtype
        .weight()
        .ok_or(CheckpointError::DType { tensor: scale_name.clone(), got: scales.dtype.name() })?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    type Tensors = BTreeMap<&'static str, (DType, Vec<usize>)>;

    /// A weight [6, 128] in 4 bits with groups of 64.
    fn good() -> Tensors {
        BTreeMap::from([
            ("x.weight_packed", (DType::I32, vec![6, 16])),
            ("x.weight_scale", (DType::BF16, vec![6, 2])),
            ("x.weight_shape", (DType::I64, vec![2])),
        ])
    }

    fn find(tensors: &Tensors) -> Result<Option<Grouped>, String> {
        let info = |name: &str| {
            let (dtype, shape) = tensors.get(name)?.clone();
            let bytes = shape.iter().product::<usize>() as u64 * dtype.size();
            Some(TensorInfo { dtype, shape, range: 0..bytes })
        };
        packed(None, &info, "x.weight", &[6, 128]).map_err(|error| error.to_string())
    }

    #[test]
    fn bits_and_groups_follow_from_the_shapes() {
        let four = Grouped { bits: Bits::Four, group: 64, scale: monolens_graph::DType::BF16 };
        assert_eq!(find(&good()), Ok(Some(four)));
        let mut eight = good();
        eight.insert("x.weight_packed", (DType::I32, vec![6, 32]));
        eight.insert("x.weight_scale", (DType::F32, vec![6, 1]));
        let whole = Grouped { bits: Bits::Eight, group: 128, scale: monolens_graph::DType::F32 };
        assert_eq!(find(&eight), Ok(Some(whole)), "a whole row is a group");
        assert_eq!(find(&Tensors::new()), Ok(None));
        assert_eq!(base_of("a.b.weight_scale"), Some("a.b."));
        assert_eq!(base_of("a.b.weight"), None);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sides_named() {
        let refused = |name, dtype, shape: &[usize]| {
            let mut bad = good();
            bad.insert(name, (dtype, shape.to_vec()));
            find(&bad).unwrap_err()
        };
        let error = refused("x.weight_packed", DType::I32, &[6, 17]);
        assert!(error.contains("[6, 16] (4 bit) or [6, 32] (8 bit)") && error.contains("[6, 17]"), "{error}");
        assert!(refused("x.weight_packed", DType::F32, &[6, 16]).contains("F32 [6, 16]"));
        assert!(refused("x.weight_scale", DType::BF16, &[6, 3]).contains("divide 128"));
        assert!(refused("x.weight_scale", DType::BF16, &[5, 2]).contains("[5, 2]"));
        assert!(refused("x.weight_scale", DType::BF16, &[6, 8]).contains("multiple of 32"));
        assert!(refused("x.weight_scale", DType::I32, &[6, 2]).contains("got I32"));
        assert!(refused("x.weight_zero_point", DType::I32, &[1, 2]).contains("symmetric"));
        assert!(refused("x.weight_g_idx", DType::I32, &[128]).contains("neighbouring"));
        let mut missing = good();
        missing.remove("x.weight_scale");
        assert!(find(&missing).unwrap_err().contains("x.weight_scale"));
    }

    #[test]
    fn the_configuration_must_name_the_scheme() {
        let config = serde_json::json!({ "quantization_config": {
            "quant_method": "compressed-tensors", "format": "pack-quantized",
            "config_groups": { "group_0": { "targets": ["Linear"], "weights": {
                "num_bits": 4, "type": "int", "symmetric": true, "strategy": "group", "group_size": 128,
            } } },
        } });
        let config = QuantizationConfig::read(config.as_object().unwrap()).unwrap();
        let tensors = good();
        let info = |name: &str| {
            let (dtype, shape) = tensors.get(name)?.clone();
            Some(TensorInfo { dtype, shape, range: 0..8 })
        };
        let error = packed(config.as_ref(), &info, "x.weight", &[6, 128]).unwrap_err().to_string();
        assert!(error.contains("groups of 128") && error.contains("groups of 64"), "{error}");
    }
}
