//! Lowering: how each operator becomes launches of kernels. One file an operator; the name is the kernel's.

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

pub(crate) use lower::Lower;

use crate::program::Launches;
use monolens_graph::{BackendError, Node, Op};

/// The launches of a node.
fn lower(cx: &mut Lower<'_>, node: &Node) -> Result<Launches, BackendError> {
    match &node.op {
        Op::Add(_) => add::lower(cx, node),
        Op::Attention(op) => attention::lower(cx, node, op),
        Op::AttentionMap(op) => attention_map::lower(cx, node, op),
        Op::Embed(op) => embed::lower(cx, node, op),
        Op::GateUp(op) => gate_up::lower(cx, node, op),
        Op::GatherRows(_) => gather_rows::lower(cx, node),
        Op::Gelu(_) => gelu::lower(cx, node),
        Op::LayerNorm(op) => layer_norm::lower(cx, node, op),
        Op::Linear(op) => linear::lower(cx, node, op),
        Op::PatchEmbed(op) => patch_embed::lower(cx, node, op),
        Op::PixelShuffle(op) => pixel_shuffle::lower(cx, node, op),
        Op::PositionEmbed(op) => position_embed::lower(cx, node, op),
        Op::QkNorm(op) => qk_norm::lower(cx, node, op),
        Op::QkvRope(op) => qkv_rope::lower(cx, node, op),
        Op::RmsNorm(op) => rms_norm::lower(cx, node, op),
        Op::Rope(op) => rope::lower(cx, node, op),
        Op::Sample(_) => sample::lower(cx, node),
        Op::ScaledAdd(op) => scaled_add::lower(cx, node, op),
        Op::StoreRows(_) => store_rows::lower(cx, node),
        Op::SwiGlu(_) => swiglu::lower(cx, node),
        Op::TileAttention(op) => tile_attention::lower(cx, node, op),
    }
}
