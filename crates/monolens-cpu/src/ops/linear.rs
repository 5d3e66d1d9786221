//! `y = x·Wᵀ`, each row with the weights of its modality, and what is fused into it.

use super::gelu::gelu;
use super::rms_norm::rms_norm;
use crate::frame::{Frame, Modality, Work, at_least};
use crate::kernels::{SharedRows, matmul};
use crate::pool::Pool;
use monolens_graph::Expert;
use monolens_graph::ops::{Linear, Residual};

/// Rows of a matrix: all of them, or those of an index.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) x: &'a [f32],
    pub(super) width: usize,
    pub(super) index: Option<&'a [u32]>,
}

impl<'a> Rows<'a> {
    pub(super) fn count(self) -> usize {
        self.index.map_or(self.x.len() / self.width, <[u32]>::len)
    }

    /// The number of row `i` in the whole matrix.
    pub(super) fn number(self, i: usize) -> usize {
        self.index.map_or(i, |index| index[i] as usize)
    }

    /// The rows one after another, normalised if so wanted.
    pub(super) fn packed<'b>(
        self,
        pool: &Pool,
        norm: Option<(&[f32], f32)>,
        into: &'b mut Vec<f32>,
    ) -> &'b [f32]
    where
        'a: 'b,
    {
        if norm.is_none() && self.index.is_none() {
            return self.x;
        }
        let width = self.width;
        let packed = at_least(into, self.count() * width);
        pool.rows(packed, width, |i, out| {
            let x = &self.x[self.number(i) * width..][..width];
            match norm {
                Some((weight, eps)) => rms_norm(x, weight, eps, out),
                None => out.copy_from_slice(x),
            }
        });
        packed
    }
}

/// Calls `group` for all rows, or once for each modality that has some.
///
/// The routing table lists rows block by block; all blocks of a modality make one product, so that its weights are read
/// once.
pub(super) fn each_modality(
    routing: Option<&[u32]>,
    index: &mut Vec<u32>,
    mut group: impl FnMut(Modality, Option<&[u32]>),
) {
    let Some(routing) = routing else { return group(Modality::Text, None) };
    for modality in Modality::ALL {
        modality.rows(routing, index);
        if !index.is_empty() {
            group(modality, Some(index));
        }
    }
}

pub(super) fn run(op: &Linear, frame: &Frame<'_>, work: &mut Work, out: &mut [f32]) {
    let (x, width, columns) = (frame.f32s(0), frame.width(0), frame.out_width());
    let residual = (op.residual != Residual::None).then(|| frame.f32s(1));
    let scale = match op.residual {
        Residual::Scaled(id) => Some(frame.vector(id)),
        _ => None,
    };
    let routing = op.is_routed().then(|| frame.u32s(frame.node.inputs.len() - 1));
    let norm = frame.norm(op.norm);
    let out = SharedRows::new(out, columns);
    each_modality(routing, &mut work.index, |modality, index| {
        let rows = Rows { x, width, index };
        let bias = op.bias.map(|bias| frame.vector(modality.of(&bias)));
        // What follows the product: bias, GELU, residual.
        let finish = |i: usize, from: usize, parts: &[&[f32]]| {
            let (row, part) = (rows.number(i), parts[0]);
            // SAFETY: each element is handed out once, and rows of an index are distinct.
            let out = unsafe { out.part(row, from, part.len()) };
            out.copy_from_slice(part);
            if let Some(bias) = bias {
                out.iter_mut().zip(&bias[from..]).for_each(|(y, b)| *y += b);
            }
            if op.gelu {
                out.iter_mut().for_each(|y| *y = gelu(*y));
            }
            if let Some(scale) = scale {
                out.iter_mut().zip(&scale[from..]).for_each(|(y, s)| *y *= s);
            }
            if let Some(residual) = residual {
                out.iter_mut().zip(&residual[row * columns + from..]).for_each(|(y, r)| *y += r);
            }
        };
        match modality.of(&op.weight) {
            Expert::Weight(id) => {
                let packed = rows.packed(frame.product.pool, norm, &mut work.rows);
                matmul(frame.product, packed, width, &[frame.weight(id)], &finish);
            }
            Expert::Identity => {
                for i in 0..rows.count() {
                    finish(i, 0, &[&x[rows.number(i) * width..][..width]]);
                }
            }
        }
    });
}
