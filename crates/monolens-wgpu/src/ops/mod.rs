//! Lowering: how each operator becomes launches of kernels. One file an operator; the name is the shader's.

mod add;
mod attention;
mod attention_map;
mod embed;
mod gate_up;
mod gather_rows;
mod gelu;
mod layer_norm;
mod linear;
mod lower;
mod patch_embed;
mod pixel_shuffle;
mod position_embed;
mod project;
mod qk_norm;
mod qkv_rope;
mod rms_norm;
mod rope;
mod sample;
mod scaled_add;
mod store_rows;
mod swiglu;
mod tile_attention;

pub(crate) use lower::{Lower, weight_feature};

use crate::program::Launches;
use monolens_graph::{BackendError, Node};

/// The launches of a node.
fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    monolens_graph::lower_node!(cx, node)
}
