//! `silu(x·Gᵀ) ∘ (x·Uᵀ)`, each row with the experts of its modality.

use super::linear::{Rows, each_modality};
use crate::frame::{Frame, Work};
use crate::kernels::{SharedRows, matmul, swiglu};
use monolens_graph::ops::GateUp;

pub(super) fn run(op: &GateUp, frame: &Frame<'_>, work: &mut Work, out: &mut [f32]) {
    let (x, width) = (frame.f32s(0), frame.width(0));
    let routing = op.is_routed().then(|| frame.u32s(1));
    let norm = frame.norm(op.norm);
    let out = SharedRows::new(out, frame.out_width());
    each_modality(routing, &mut work.index, |modality, index| {
        let rows = Rows { x, width, index };
        let packed = rows.packed(frame.product.pool, norm, &mut work.rows);
        let weights = [frame.weight(modality.of(&op.gate)), frame.weight(modality.of(&op.up))];
        matmul(frame.product, packed, width, &weights, &|i, from, parts| {
            // SAFETY: each element is handed out once, and rows of an index are distinct.
            let out = unsafe { out.part(rows.number(i), from, parts[0].len()) };
            swiglu(frame.product.isa, parts[0], parts[1], out);
        });
    });
}
