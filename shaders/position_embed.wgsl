// Adds position embeddings; with a class token, puts it in front of each tile.

import package::shared::element::{word_of, element};
import package::shared::grid::thread_number;

struct Params {
    elements: u32,
    width: u32,
    // Rows of a tile in the result.
    rows: u32,
    // Elements from one row of the table to the next, its type and that of the class token.
    stride: u32,
    dtype: u32,
    class_dtype: u32,
    // 1: with a class token.
    has_class: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> table: array<u32>;
@group(1) @binding(3) var<storage, read> class_token: array<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = thread_number(group_id, groups, thread);
    if i >= p.elements {
        return;
    }
    let column = i % p.width;
    let row = (i / p.width) % p.rows;
    let tile = i / (p.width * p.rows);
    // Row 0 of the table is the class token's.
    let position = row + 1u - p.has_class;
    let at = position * p.stride + column;
    let offset = element(p.dtype, table[word_of(p.dtype, at)], at);
    if position == 0u {
        let word = class_token[word_of(p.class_dtype, column)];
        result[i] = element(p.class_dtype, word, column) + offset;
        return;
    }
    let patches = p.rows - p.has_class;
    result[i] = x[(tile * patches + position - 1u) * p.width + column] + offset;
}
