//! `y = silu(gate) ∘ up`.

use crate::frame::Frame;
use crate::kernels::swiglu;

pub(super) fn run(frame: &Frame<'_>, out: &mut [f32]) {
    let (gate, up, width) = (frame.f32s(0), frame.f32s(1), frame.width(0));
    let isa = frame.product.isa;
    frame.product.pool.rows(out, width, |row, out| {
        let part = row * width..(row + 1) * width;
        swiglu(isa, &gate[part.clone()], &up[part], out);
    });
}
