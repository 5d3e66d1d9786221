//! `quantization_config` of `config.json`.

#[cfg(not(target_arch = "wasm32"))]
use super::Quantization;
use crate::config::ConfigError;
use monolens_graph::{Bits, Grouped};
use serde_json::{Map, Value, json};
use std::fmt;

/// Name of the key.
const KEY: &str = "quantization_config";

/// The schemes that a checkpoint's weights are stored in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantizationConfig {
    /// Bits, and elements of a group; none where a whole row is one.
    groups: Vec<(Bits, Option<usize>)>,
}

fn wrong(key: &str, expected: &str, got: &Value) -> ConfigError {
    ConfigError::key(format!("{KEY}.{key}"), expected, got.to_string())
}

/// The value of a key; `null` is as good as none.
fn get<'v>(map: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    map.get(key).filter(|value| !value.is_null())
}

/// Checks that a key, where it is set, has one of these values.
fn one_of(map: &Map<String, Value>, path: &str, key: &str, values: &[Value]) -> Result<(), ConfigError> {
    match get(map, key) {
        Some(value) if !values.contains(value) => {
            let expected = values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
            Err(wrong(&format!("{path}{key}"), &expected, value))
        }
        _ => Ok(()),
    }
}

impl QuantizationConfig {
    /// Reads the key out of the whole configuration; none if there is no such key.
    ///
    /// # Errors
    /// A method, format or scheme that the engine does not run, by key.
    pub fn read(root: &Map<String, Value>) -> Result<Option<Self>, ConfigError> {
        let Some(value) = get(root, KEY) else { return Ok(None) };
        let Value::Object(map) = value else {
            return Err(ConfigError::key(KEY, "a JSON object", value.to_string()));
        };
        match get(map, "quant_method") {
            Some(method) if method == "compressed-tensors" => {}
            other => {
                return Err(wrong("quant_method", "\"compressed-tensors\"", other.unwrap_or(&Value::Null)));
            }
        }
        one_of(map, "", "format", &[json!("pack-quantized")])?;
        one_of(map, "", "quantization_status", &[json!("compressed"), json!("frozen")])?;
        one_of(map, "", "kv_cache_scheme", &[])?;
        let Some(Value::Object(schemes)) = get(map, "config_groups") else {
            let got = get(map, "config_groups").unwrap_or(&Value::Null);
            return Err(wrong("config_groups", "a JSON object", got));
        };
        let groups =
            schemes.iter().map(|(name, scheme)| read_scheme(name, scheme)).collect::<Result<_, _>>()?;
        Ok(Some(Self { groups }))
    }

    /// Whether one of the schemes stores rows of `inner` elements so.
    pub fn has(&self, grouped: Grouped, inner: usize) -> bool {
        self.groups
            .iter()
            .any(|&(bits, group)| bits == grouped.bits && group.unwrap_or(inner) == grouped.group)
    }

    /// The key's value for weights that were rounded so, each with the modules that are.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn write(wish: Quantization, schemes: &[(Grouped, Vec<String>)], ignore: &[String]) -> Value {
        let groups: Map<String, Value> = schemes
            .iter()
            .enumerate()
            .map(|(i, (grouped, targets))| {
                let scheme = json!({
                    "targets": targets,
                    "weights": {
                        "num_bits": grouped.bits.count(),
                        "type": "int",
                        "symmetric": true,
                        "strategy": "group",
                        "group_size": grouped.group,
                        "dynamic": false,
                        "observer": "mse",
                        "actorder": null,
                        "block_structure": null,
                        "observer_kwargs": {},
                    },
                    "input_activations": null,
                    "output_activations": null,
                });
                (format!("group_{i}"), scheme)
            })
            .collect();
        json!({
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "quantization_status": "compressed",
            "global_compression_ratio": null,
            "kv_cache_scheme": null,
            "config_groups": groups,
            "ignore": ignore,
            "monolens": wish.to_string(),
        })
    }
}

fn read_scheme(name: &str, scheme: &Value) -> Result<(Bits, Option<usize>), ConfigError> {
    let path = format!("config_groups.{name}");
    let Some(weights) = scheme.get("weights").and_then(Value::as_object) else {
        return Err(wrong(&format!("{path}.weights"), "a JSON object", scheme));
    };
    if let Some(scheme) = scheme.as_object() {
        let path = format!("{path}.");
        one_of(scheme, &path, "input_activations", &[])?;
        one_of(scheme, &path, "output_activations", &[])?;
        one_of(scheme, &path, "format", &[json!("pack-quantized")])?;
    }
    let path = format!("{path}.weights.");
    one_of(weights, &path, "type", &[json!("int")])?;
    one_of(weights, &path, "symmetric", &[json!(true)])?;
    one_of(weights, &path, "dynamic", &[json!(false)])?;
    one_of(weights, &path, "actorder", &[json!(false), json!("weight"), json!("static")])?;
    let number = |key: &str| get(weights, key).and_then(Value::as_i64);
    let bits = match number("num_bits") {
        Some(4) => Bits::Four,
        Some(8) => Bits::Eight,
        _ => return Err(wrong(&format!("{path}num_bits"), "4 or 8", &weights["num_bits"])),
    };
    let size = number("group_size").filter(|&n| n > 0).and_then(|n| usize::try_from(n).ok());
    let group = match (get(weights, "strategy").and_then(Value::as_str), size) {
        (Some("group") | None, Some(size)) => Some(size),
        (Some("channel"), _) => None,
        (None, None) if number("group_size") == Some(-1) => None,
        (Some("group"), None) => {
            let got = weights.get("group_size").unwrap_or(&Value::Null);
            return Err(wrong(&format!("{path}group_size"), "elements of a group", got));
        }
        _ => {
            let got = weights.get("strategy").unwrap_or(&Value::Null);
            return Err(wrong(&format!("{path}strategy"), "\"group\" or \"channel\"", got));
        }
    };
    Ok((bits, group))
}

impl fmt::Display for QuantizationConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |&(bits, group): &(Bits, Option<usize>)| {
            let group = group.map_or("whole rows".into(), |g| format!("groups of {g}"));
            format!("{} bit in {group}", bits.count())
        };
        let all: Vec<String> = self.groups.iter().map(one).collect();
        f.write_str(&all.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolens_graph::DType;

    fn read(value: Value) -> Result<Option<QuantizationConfig>, ConfigError> {
        let map = json!({ KEY: value });
        QuantizationConfig::read(map.as_object().unwrap())
    }

    fn config(weights: Value) -> Value {
        json!({
            "quant_method": "compressed-tensors", "format": "pack-quantized",
            "config_groups": { "group_0": { "targets": ["Linear"], "weights": weights, "input_activations": null } },
        })
    }

    #[test]
    fn what_is_written_is_read() {
        let four = Grouped { bits: Bits::Four, group: 64, scale: DType::F16 };
        let wish = Quantization { bits: Bits::Four, group: 64 };
        let written = QuantizationConfig::write(wish, &[(four, vec!["a".into()])], &[]);
        let config = read(written).unwrap().unwrap();
        assert!(config.has(four, 256) && !config.has(Grouped { group: 128, ..four }, 256));
        assert_eq!(config.to_string(), "4 bit in groups of 64");
        assert_eq!(read(Value::Null).unwrap(), None);
    }

    #[test]
    fn whole_rows_are_one_group() {
        let config = read(config(json!({ "num_bits": 8, "strategy": "channel", "symmetric": true })))
            .unwrap()
            .unwrap();
        assert!(config.has(Grouped { bits: Bits::Eight, group: 256, scale: DType::BF16 }, 256));
    }

    #[test]
    fn other_schemes_are_refused_by_key() {
        let good = json!({ "num_bits": 4, "strategy": "group", "group_size": 128, "symmetric": true, "type": "int" });
        assert!(read(config(good.clone())).unwrap().is_some());
        for (key, value) in [
            ("num_bits", json!(3)),
            ("symmetric", json!(false)),
            ("type", json!("float")),
            ("strategy", json!("block")),
            ("group_size", json!(0)),
            ("actorder", json!("group")),
            ("dynamic", json!(true)),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            let error = read(config(bad)).unwrap_err().to_string();
            assert!(error.contains(&format!("weights.{key}")), "{key}: {error}");
        }
        let mut gptq = config(good.clone());
        gptq["quant_method"] = json!("gptq");
        assert!(read(gptq).unwrap_err().to_string().contains("compressed-tensors"));
        let mut dense = config(good);
        dense["format"] = json!("int-quantized");
        assert!(read(dense).unwrap_err().to_string().contains("pack-quantized"));
        assert!(read(json!([1])).is_err() && read(json!({ "quant_method": "compressed-tensors" })).is_err());
    }
}
