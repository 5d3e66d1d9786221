//! What can be wrong with a checkpoint.

use thiserror::Error;

/// A checkpoint that cannot be read or does not fit the model.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A file could not be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The folder holds no weights.
    #[error("{folder}: expected model.safetensors or model.safetensors.index.json, found neither")]
    NoWeights {
        /// The folder.
        folder: String,
    },
    /// The safetensors header is malformed.
    #[error("{file}: safetensors header: expected {expected}, got {got}")]
    Header {
        /// The file.
        file: String,
        /// What the format asks for.
        expected: String,
        /// What the file holds.
        got: String,
    },
    /// One tensor's entry in the header is malformed.
    #[error("{file}: tensor `{tensor}`: expected {expected}, got {got}")]
    Entry {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// What the format asks for.
        expected: String,
        /// What the entry says.
        got: String,
    },
    /// `model.safetensors.index.json` is malformed.
    #[error("{file}: expected {expected}, got {got}")]
    Index {
        /// The index file.
        file: String,
        /// What the format asks for.
        expected: String,
        /// What the file says.
        got: String,
    },
    /// The index names a shard that is not there.
    #[error("shard `{shard}` named by the index is missing ({tensors} tensors, first `{first}`)")]
    MissingShard {
        /// The shard's file name.
        shard: String,
        /// How many tensors it should hold.
        tensors: usize,
        /// One of them.
        first: String,
    },
    /// Two files hold a tensor of the same name.
    #[error("tensor `{tensor}`: expected in one file, got it in `{first}` and `{second}`")]
    Duplicate {
        /// The tensor.
        tensor: String,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// A tensor that the model needs is not there.
    #[error("tensor `{tensor}`: expected {expected}, got no such tensor")]
    MissingTensor {
        /// The tensor.
        tensor: String,
        /// Its expected shape, or where it should be.
        expected: String,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("tensor `{tensor}`: expected shape {expected:?}, got {got:?}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// By the configuration.
        expected: Vec<usize>,
        /// By the checkpoint.
        got: Vec<usize>,
    },
    /// A tensor has a type that is no weight type.
    #[error("tensor `{tensor}`: expected F32, F16 or BF16, got {got}")]
    DType {
        /// The tensor.
        tensor: String,
        /// By the checkpoint.
        got: &'static str,
    },
    /// A weight stored as integers in groups is malformed, or in a scheme that the engine does not run.
    #[error("tensor `{tensor}`: expected {expected}, got {got}")]
    Packed {
        /// The tensor.
        tensor: String,
        /// What the engine reads.
        expected: String,
        /// By the checkpoint.
        got: String,
    },
    /// Expert tensors that contradict the configuration or each other.
    #[error("visual experts: expected {expected}, got {got}")]
    Experts {
        /// What a readable model has.
        expected: String,
        /// What the checkpoint has.
        got: String,
    },
    /// Weights were to be rounded that are rounded already.
    #[error(
        "weights: expected floats to round to {wish}, got a checkpoint in integers already ({stored}): leave the format out"
    )]
    RoundedAlready {
        /// What was wanted.
        wish: crate::quant::Quantization,
        /// What there is.
        stored: String,
    },
    /// A weight is NaN or infinite.
    #[error("tensor `{tensor}`: expected finite weights, got {value} at element {index}")]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// Flat index of the first such element.
        index: usize,
        /// The element.
        value: f32,
    },
}
