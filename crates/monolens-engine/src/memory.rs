//! What a model takes of a device's memory, told when it does not fit.

use crate::blueprint::Blueprint;
use crate::runner::kv_bytes_per_token;
use crate::{EngineError, EngineOptions};
use monolens_graph::{BackendError, DType};

/// Bytes that a model needs.
pub(crate) struct Needs {
    weights: u64,
    kv_per_token: u64,
}

impl Needs {
    /// Of a model whose weights take so many bytes on the device.
    pub fn new(weights: u64, blueprint: &Blueprint) -> Self {
        Self { weights, kv_per_token: kv_bytes_per_token(&blueprint.decoder) }
    }

    /// Of an error while weights were loaded: what the weights take.
    pub fn of_weights(&self, error: EngineError) -> EngineError {
        match error {
            EngineError::Backend(error @ BackendError::OutOfMemory { .. }) => EngineError::TooLarge {
                error,
                advice: format!(
                    "The weights alone take {}: what can fit is weights in 8 or 4 bits, or a smaller model",
                    megabytes(self.weights)
                ),
            },
            other => other,
        }
    }

    /// Of an error while memory for `context` tokens was allocated: what takes how much, and what takes less.
    pub fn of_context(&self, error: EngineError, context: usize, options: &EngineOptions) -> EngineError {
        match error {
            EngineError::Backend(error @ (BackendError::OutOfMemory { .. } | BackendError::Limit { .. })) => {
                EngineError::TooLarge {
                    error,
                    advice: format!(
                        "The weights take {}, keys and values {} for a context of {context} tokens, beside the activations of \
                     {} rows and {} tiles: a smaller context (half of it takes {}), {}fewer rows a step or fewer tiles at \
                     once take less",
                        megabytes(self.weights),
                        megabytes(self.kv_per_token * context as u64),
                        options.chunk,
                        options.tiles_per_run,
                        megabytes(self.kv_per_token * context as u64 / 2),
                        if options.kv_dtype == Some(DType::I8) { "" } else { "keys and values in 8 bits, " },
                    ),
                }
            }
            other => other,
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> EngineError {
        let (device, what) = ("x".to_owned(), "y".to_owned());
        BackendError::OutOfMemory { device, what, requested: 1, used: 0 }.into()
    }

    #[test]
    fn what_does_not_fit_is_told_with_what_takes_less() {
        let needs = Needs { weights: 4_000_000_000, kv_per_token: 50_000 };
        let text = needs.of_weights(full()).to_string();
        assert!(text.contains("weights alone take 4000 MB"), "{text}");
        let text = needs.of_context(full(), 8000, &EngineOptions::default()).to_string();
        assert!(text.contains("400 MB for a context of 8000") && text.contains("takes 200 MB"), "{text}");
        assert!(text.contains("keys and values in 8 bits"), "{text}");
        let eight = EngineOptions { kv_dtype: Some(DType::I8), ..EngineOptions::default() };
        assert!(!needs.of_context(full(), 8000, &eight).to_string().contains("in 8 bits"));
        let other = needs.of_weights(EngineError::Cancelled);
        assert!(matches!(other, EngineError::Cancelled));
    }
}
