//! One JSON object of a configuration, read key by key with checks.

use super::ConfigError;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// A JSON object together with its dotted path, so that errors can name the key.
pub(crate) struct Section<'a> {
    path: &'static str,
    map: Option<&'a Map<String, Value>>,
}

impl<'a> Section<'a> {
    /// The top-level object.
    pub fn root(map: &'a Map<String, Value>) -> Self {
        Section { path: "", map: Some(map) }
    }

    /// A nested object; absent or `null` reads as an object without keys.
    pub fn child(&self, key: &'static str) -> Result<Section<'a>, ConfigError> {
        let map = match self.get(key) {
            None => None,
            Some(Value::Object(map)) => Some(map),
            Some(other) => return Err(self.wrong(key, "a JSON object", other)),
        };
        Ok(Section { path: key, map })
    }

    /// The value of `key`; `null` counts as absent.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map?.get(key).filter(|value| !value.is_null())
    }

    /// Dotted path of `key`.
    pub fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// An error about `key` and the value found there.
    pub fn wrong(&self, key: &str, expected: impl Into<String>, got: &Value) -> ConfigError {
        ConfigError::key(self.name(key), expected, got.to_string())
    }

    /// A whole number within `range`.
    pub fn size(
        &self,
        key: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, ConfigError> {
        let value = match self.get(key) {
            None => default,
            Some(value) => value
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| range.contains(n))
                .ok_or_else(|| self.wrong(key, whole_number(&range), value))?,
        };
        Ok(value)
    }

    /// A whole number within `range`, or none where the key is absent.
    pub fn optional_size(
        &self,
        key: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(_) => self.size(key, 0, range).map(Some),
        }
    }

    /// A whole number of either sign.
    pub fn integer(&self, key: &str, default: i64) -> Result<i64, ConfigError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_i64().ok_or_else(|| self.wrong(key, "a whole number", value)),
        }
    }

    /// A finite number within `range`.
    pub fn number(&self, key: &str, default: f64, range: RangeInclusive<f64>) -> Result<f64, ConfigError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().filter(|x| x.is_finite() && range.contains(x)).ok_or_else(|| {
                let expected = format!("a number from {} to {}", range.start(), range.end());
                self.wrong(key, expected, value)
            }),
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool, ConfigError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(key, "true or false", value)),
        }
    }

    /// A string, or none where the key is absent.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| self.wrong(key, "a string", value)),
        }
    }

    /// The first entry of a list of strings, or none.
    pub fn first_text(&self, key: &str) -> Result<Option<&'a str>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(list)) if list.is_empty() => Ok(None),
            Some(value) => value
                .get(0)
                .and_then(Value::as_str)
                .map(Some)
                .ok_or_else(|| self.wrong(key, "a list of strings", value)),
        }
    }
}

fn whole_number(range: &RangeInclusive<usize>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}
