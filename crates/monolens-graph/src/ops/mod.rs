//! The operators: attributes, weights and shape inference, one file each.
//!
//! An operator has the same name in every room: `ops/rms_norm.rs` here, in the CPU reference, `rms_norm.wgsl`,
//! `rms_norm.cu`. The documentation of each struct is its definition: inputs in order, the formula, the result.
//! *Fused* operators are made by the planner from the others and compute the same values.

mod add;
mod attention;
mod attention_map;
mod check;
mod embed;
mod gate_up;
mod gather_rows;
mod gelu;
mod layer_norm;
mod linear;
mod patch_embed;
mod pixel_shuffle;
mod position_embed;
mod qk_norm;
mod qkv_rope;
mod rms_norm;
mod rope;
mod sample;
mod scaled_add;
mod store_rows;
mod swiglu;
mod tile_attention;

pub use add::Add;
pub use attention::Attention;
pub use attention_map::AttentionMap;
pub use check::Check;
pub use embed::Embed;
pub use gate_up::GateUp;
pub use gather_rows::GatherRows;
pub use gelu::Gelu;
pub use layer_norm::LayerNorm;
pub use linear::{Linear, Residual};
pub use patch_embed::PatchEmbed;
pub use pixel_shuffle::{PixelShuffle, TokenOrder};
pub use position_embed::PositionEmbed;
pub use qk_norm::QkNorm;
pub use qkv_rope::QkvRope;
pub use rms_norm::RmsNorm;
pub use rope::{Heads, QkvLayout, Rope};
pub use sample::Sample;
pub use scaled_add::ScaledAdd;
pub use store_rows::StoreRows;
pub use swiglu::SwiGlu;
pub use tile_attention::TileAttention;

use crate::{DType, Graph, GraphError, Shape, ValueId, WeightId};

/// Type of a result; `None` when an operator only writes a state.
pub type Inferred = Option<(DType, Shape)>;

/// What every operator tells about itself.
pub trait Operator {
    /// The name it has in every backend.
    const NAME: &'static str;

    /// The weights it reads, in binding order.
    fn weights(&self) -> Vec<WeightId> {
        Vec::new()
    }

    /// Checks inputs, weights and attributes and gives the type of the result.
    ///
    /// # Errors
    /// Names what was expected and what came.
    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError>;
}

macro_rules! operators {
    ($($variant:ident),* $(,)?) => {
        /// Any operator.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $(#[allow(missing_docs)] $variant($variant),)*
        }

        impl Op {
            /// The operator's name, the same in every backend.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$variant(_) => $variant::NAME,)* }
            }

            /// The weights it reads, in binding order.
            pub fn weights(&self) -> Vec<WeightId> {
                match self { $(Op::$variant(op) => op.weights(),)* }
            }

            pub(crate) fn infer(&self, graph: &Graph, node: &str, inputs: &[ValueId]) -> Result<Inferred, GraphError> {
                let check = Check::new(graph, node, self.name(), inputs);
                match self { $(Op::$variant(op) => op.infer(&check),)* }
            }

            /// The names of all operators.
            pub const NAMES: &'static [&'static str] = &[$($variant::NAME),*];
        }

        $(impl From<$variant> for Op {
            fn from(op: $variant) -> Self { Op::$variant(op) }
        })*
    };
}

operators!(
    Add,
    Attention,
    AttentionMap,
    Embed,
    GateUp,
    GatherRows,
    Gelu,
    LayerNorm,
    Linear,
    PatchEmbed,
    PixelShuffle,
    PositionEmbed,
    QkNorm,
    QkvRope,
    RmsNorm,
    Rope,
    Sample,
    ScaledAdd,
    StoreRows,
    SwiGlu,
    TileAttention,
);
