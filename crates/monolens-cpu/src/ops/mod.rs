//! The operators, one file each, named as in the graph; their definitions are the documentation of
//! [`monolens_graph::ops`]. Each file has the computation on plain slices.

mod add;
mod attention;
mod attention_map;
mod attention_row;
mod embed;
mod gate_up;
mod gather_rows;
mod gelu;
mod layer_norm;
mod linear;
mod paged;
mod patch_embed;
mod pixel_shuffle;
mod position_embed;
mod qk_norm;
mod qkv_rope;
mod rms_norm;
mod rope;
mod sample;
mod scaled_add;
mod softmax;
mod store_rows;
mod swiglu;
mod tile_attention;

pub use gelu::gelu;
pub use sample::sample;

use crate::frame::{Frame, Work};
use crate::state::States;
use monolens_graph::{BackendError, Op};

/// Runs the operator of a node; `out` is its whole result, of any content before.
pub(crate) fn run(
    frame: &Frame<'_>,
    states: &mut States,
    work: &mut Work,
    out: &mut [f32],
) -> Result<(), BackendError> {
    match &frame.node.op {
        Op::Add(_) => add::run(frame, out),
        Op::Attention(op) => attention::run(op, frame, states, out),
        Op::AttentionMap(op) => attention_map::run(op, frame, states, out),
        Op::Embed(op) => embed::run(op, frame, states, out),
        Op::GateUp(op) => gate_up::run(op, frame, work, out),
        Op::GatherRows(_) => gather_rows::run(frame, out),
        Op::Gelu(_) => gelu::run(frame, out),
        Op::LayerNorm(op) => layer_norm::run(op, frame, out),
        Op::Linear(op) => linear::run(op, frame, work, out),
        Op::PatchEmbed(op) => patch_embed::run(op, frame, work, out),
        Op::PixelShuffle(op) => pixel_shuffle::run(op, frame, out),
        Op::PositionEmbed(op) => position_embed::run(op, frame, out),
        Op::QkNorm(op) => qk_norm::run(op, frame, out),
        Op::QkvRope(op) => return qkv_rope::run(op, frame, states, work, out),
        Op::RmsNorm(op) => rms_norm::run(op, frame, out),
        Op::Rope(op) => return rope::run(op, frame, states, out),
        Op::Sample(_) => sample::run(frame, out),
        Op::ScaledAdd(op) => scaled_add::run(op, frame, out),
        Op::StoreRows(_) => store_rows::run(frame, states),
        Op::SwiGlu(_) => swiglu::run(frame, out),
        Op::TileAttention(op) => tile_attention::run(op, frame, out),
    }
    Ok(())
}
