//! `y = a + b`.

use crate::frame::Frame;

pub(super) fn run(frame: &Frame<'_>, out: &mut [f32]) {
    let (a, b, width) = (frame.f32s(0), frame.f32s(1), frame.width(0));
    frame.product.pool.rows(out, width, |row, out| {
        let part = row * width..(row + 1) * width;
        for (y, (a, b)) in out.iter_mut().zip(a[part.clone()].iter().zip(&b[part])) {
            *y = a + b;
        }
    });
}
