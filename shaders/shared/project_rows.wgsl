// What the projections of many rows in blocks of 64 share: the rows of a block, weights by expert, the way to the results.
//
// Routed: word 0 of the block, indexed by workgroup_id, says how many rows of either modality it has; a workgroup whose
// modality has none returns before any barrier. Otherwise it works on the packed list of its rows and writes only those.

import package::shared::project::{p, inputs, chunk_text, chunk_visual, scaled_eight, EIGHTS, Chunk, Eight};
@if(gate_up) import package::shared::project::{chunk_text_up, chunk_visual_up};
@if(linear) import package::linear::store_quad;
@if(gate_up) import package::gate_up::store_quads;
@if(qkv_rope) import package::qkv_rope::store_quad;

// Quads of weight rows that a workgroup has. A thread hands out two of them at a time, half of that apart.
@if(many) @id(0) override QUADS: u32 = 32u;
@if(matrix) const QUADS: u32 = 32u;

struct Rows {
    count: u32,
    // Of the first row number in `inputs`; unused if not routed.
    list: u32,
    // First row if not routed.
    first: u32,
}

fn rows_of(group_id: vec3<u32>) -> Rows {
    var rows: Rows;
    @if(routed) {
        let block = p.routing + group_id.y * 65u;
        let counts = inputs[block];
        let texts = counts & 0xffffu;
        rows.count = select(texts, counts >> 16u, group_id.z == 1u);
        rows.list = block + 1u + select(0u, texts, group_id.z == 1u);
    } @else {
        rows.first = group_id.y * 64u;
        rows.count = min(64u, p.rows - rows.first);
    }
    return rows;
}

fn row_at(rows: Rows, i: u32) -> u32 {
    @if(routed) {
        return inputs[rows.list + min(i, rows.count - 1u)];
    } @else {
        return rows.first + min(i, rows.count - 1u);
    }
}

fn chunk(is_visual: bool, is_up: bool, row: u32, at: u32) -> Chunk {
    @if(gate_up && routed) {
        if is_up {
            if is_visual { return chunk_visual_up(row, at); }
            return chunk_text_up(row, at);
        }
    }
    @if(gate_up && !routed) {
        if is_up { return chunk_text_up(row, at); }
    }
    @if(routed) {
        if is_visual { return chunk_visual(row, at); }
    }
    return chunk_text(row, at);
}

// Eight number `at` of a weight row.
fn eight(is_visual: bool, is_up: bool, row: u32, at: u32) -> Eight {
    return scaled_eight(chunk(is_visual, is_up, row, at / EIGHTS), at % EIGHTS);
}

// Row `i` of the block: the results of a quad, and of the one half a workgroup on.
fn put(rows: Rows, i: u32, quad: u32, quads: u32, a: vec4<f32>, b: vec4<f32>, is_visual: bool) {
    if i >= rows.count {
        return;
    }
    let row = row_at(rows, i);
    @if(gate_up) {
        // The first half of the quads are gates, the others the ups beside them.
        store_quads(row, quad, a, b);
    } @else {
        if quad < quads { store_quad(row, quad, a, is_visual); }
        let other = quad + QUADS / 2u;
        if other < quads { store_quad(row, other, b, is_visual); }
    }
}
