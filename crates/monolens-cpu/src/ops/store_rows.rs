//! Writes the tokens of each tile into a state.

use crate::frame::Frame;
use crate::state::States;

pub(super) fn run(frame: &Frame<'_>, states: &mut States) {
    let Some(state) = frame.state_at(2).map(|at| states.get_mut(at)) else { return };
    let (x, width, firsts) = (frame.f32s(0), frame.width(0), frame.u32s(1));
    let tile = frame.sizes(0)[1] * width;
    for (tokens, &first) in x.chunks_exact(tile.max(1)).zip(firsts) {
        for (i, token) in tokens.chunks_exact(width).enumerate() {
            state.write(first as usize + i, token);
        }
    }
}
