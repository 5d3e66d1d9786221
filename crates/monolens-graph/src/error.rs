//! Errors of building a graph.

/// A graph that cannot be: which operator, what it expected, what it got.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// An operator was given the wrong number of inputs.
    #[error("{node} ({operator}): expected {expected} inputs, got {got}")]
    Arity {
        /// Name of the node.
        node: String,
        /// Name of the operator.
        operator: &'static str,
        /// How many the operator takes.
        expected: String,
        /// How many it was given.
        got: usize,
    },
    /// An input, a weight or an attribute does not fit.
    #[error("{node} ({operator}): {what}: expected {expected}, got {got}")]
    Mismatch {
        /// Name of the node.
        node: String,
        /// Name of the operator.
        operator: &'static str,
        /// Which input, weight or attribute.
        what: String,
        /// What the operator needs.
        expected: String,
        /// What it was given.
        got: String,
    },
    /// Two values, weights or outputs of one name disagree.
    #[error("the name {name} is used twice: {first} and {second}")]
    NameClash {
        /// The shared name.
        name: String,
        /// What it named first.
        first: String,
        /// What it was to name now.
        second: String,
    },
}
