//! Looks up token embeddings, or visual embeddings for rows that stand for an image patch.

use crate::frame::Frame;
use crate::state::States;
use monolens_graph::batch::NO_VISUAL;
use monolens_graph::ops::Embed;

pub(super) fn run(op: &Embed, frame: &Frame<'_>, states: &States, out: &mut [f32]) {
    let (rows, width) = (frame.row_infos(0), frame.out_width());
    let table = frame.weight(op.table);
    let visual = if frame.node.inputs.len() == 3 { frame.state(states, 2) } else { None };
    let slots = if visual.is_some() { frame.u32s(1) } else { &[] };
    frame.product.pool.rows(out, width, |row, out| {
        let slot = slots.get(row).copied().unwrap_or(NO_VISUAL);
        match visual {
            Some(state) if slot != NO_VISUAL => state.row(slot as usize),
            _ => {
                let at = rows[row].id as usize * width;
                table.part(at, at + width)
            }
        }
        .widen(out);
    });
}
