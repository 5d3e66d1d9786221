//! Pixels to visual embeddings.

use super::DrawCase;
use crate::case::{Case, Draw};
use crate::compare::limit;
use monolens_graph::ops::{self, TokenOrder};
use monolens_graph::{Axis, DType, batch};

pub(super) const CASES: [(&str, DrawCase); 4] = [
    ("patch_embed", patch_embed),
    ("position_embed", position_embed),
    ("pixel_shuffle", pixel_shuffle),
    ("store_rows", store_rows),
];

fn start(operator: &str, number: usize) -> (Draw, usize) {
    let mut d = Draw::new(operator, number);
    let tiles = d.rows(5);
    d.axis(Axis::Tiles, tiles);
    (d, tiles)
}

fn patch_embed(number: usize) -> Case {
    let (mut d, _) = start("patch_embed", number);
    let patch = [1, 2, 3, 7, 14][number % 5];
    let side = patch * (1 + number % 4);
    let width = d.size(67);
    let x = d.input(batch::PIXELS, &[Axis::Tiles.into(), 3.into(), side.into(), side.into()]);
    let (weight, bias) = (d.weight("w", &[width, 3, patch, patch]), d.weight("b", &[width]));
    let op = ops::PatchEmbed { weight, bias, width, patch };
    let y = d.g.push("patch_embed", op, &[x]).expect("a well-formed case");
    d.g.output("y", y).expect("one output");
    d.finish(limit::MATMUL)
}

fn position_embed(number: usize) -> Case {
    let (mut d, _) = start("position_embed", number);
    let (n, width) = (d.size(33), d.size(67));
    let x = d.input("x", &[Axis::Tiles.into(), n.into(), width.into()]);
    let table = d.weight("table", &[1, 1 + n, width]);
    let class = (number % 2 == 1).then(|| d.weight("class", &[1, 1, width]));
    let y =
        d.g.push("position_embed", ops::PositionEmbed { table, class }, &[x]).expect("a well-formed case");
    d.g.output("y", y).expect("one output");
    d.finish(limit::ELEMENTWISE)
}

fn pixel_shuffle(number: usize) -> Case {
    let (mut d, _) = start("pixel_shuffle", number);
    let scale = [1, 2, 3][number % 3];
    let (side, width) = (scale * (1 + number % 4), d.size(33));
    let skip_class = number % 2 == 1;
    let order = if number % 4 < 2 { TokenOrder::RowMajor } else { TokenOrder::ColumnMajor };
    let rows = side * side + usize::from(skip_class);
    let x = d.input("x", &[Axis::Tiles.into(), rows.into(), width.into()]);
    let op = ops::PixelShuffle { side, scale, order, skip_class };
    let y = d.g.push("pixel_shuffle", op, &[x]).expect("a well-formed case");
    d.g.output("y", y).expect("one output");
    d.finish(limit::EXACT)
}

/// Also shows that slots between the tiles stay as they were.
fn store_rows(number: usize) -> Case {
    let (mut d, tiles) = start("store_rows", number);
    let (n, width) = (d.size(16), d.size(67));
    let x = d.input("x", &[Axis::Tiles.into(), n.into(), width.into()]);
    let state = d.state(batch::VISUAL, DType::F32, Axis::VisualSlots, tiles * (n + 2) + 3, width);
    let first: Vec<u32> = (0..tiles).rev().map(|t| (t * (n + 2) + 1) as u32).collect();
    let first = d.indices(batch::VISUAL_SLOTS, &[Axis::Tiles.into()], &first);
    d.g.push_effect("store_rows", ops::StoreRows, &[x, first, state]).expect("a well-formed case");
    d.finish(limit::EXACT)
}
