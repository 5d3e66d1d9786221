// Looks up token embeddings; rows that stand for an image patch take their visual embedding instead.
//
// A table that is split over several buffers takes one dispatch a part, each writing the rows whose ids lie in its part.

import package::shared::element::{word_of, element, integer, BITS_8};
import package::shared::grid::thread_number;

struct Params {
    elements: u32,
    width: u32,
    // Elements from one row of the table to the next, its type, the first id of this part and the number of them.
    stride: u32,
    dtype: u32,
    first: u32,
    count: u32,
    // Words of `rows` and `visual_rows` in `inputs`; no visual rows: NONE.
    row_info: u32,
    visual_rows: u32,
    // Integers only: elements in a group, the word of `table` where the scales begin, their type.
    group: u32,
    scales: u32,
    scale_type: u32,
}

const NONE: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> inputs: array<u32>;
@group(1) @binding(2) var<storage, read> table: array<u32>;
@group(1) @binding(3) var<storage, read> visual: array<f32>;

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
    let row = i / p.width;
    let column = i % p.width;
    var slot = NONE;
    if p.visual_rows != NONE {
        slot = inputs[p.visual_rows + row];
    }
    if slot != NONE {
        if p.first == 0u {
            result[i] = visual[slot * p.width + column];
        }
        return;
    }
    let id = inputs[p.row_info + row * 4u];
    if id >= p.first && id - p.first < p.count {
        let at = (id - p.first) * p.stride + column;
        let word = table[word_of(p.dtype, at)];
        if p.dtype >= BITS_8 {
            let number = at / p.group;
            let scale = element(p.scale_type, table[p.scales + word_of(p.scale_type, number)], number);
            result[i] = integer(p.dtype, word, at) * scale;
        } else {
            result[i] = element(p.dtype, word, at);
        }
    }
}
