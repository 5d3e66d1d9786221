// Projection for adapters that run shaders on a CPU: no workgroup memory, no barriers, which cost most there.
//
// A lane computes one quad of weight rows for 16 rows of x. The rows of x are loaded one a lane, two by two, and broadcast within the
// subgroup, which must have eight lanes or more. Workgroups of 32 threads: x = quads / 32, y = tiles of 16 rows (routed: four a block),
// z = modality if routed. Routing is that of `project_many`.

import package::shared::project::{p, inputs, x_four, norm_four, chunk_text, chunk_visual, scaled_eight, EIGHTS, Chunk, Eight, NONE};
@if(gate_up) import package::shared::project::{chunk_text_up, chunk_visual_up};
@if(linear) import package::linear::{quad_rows, store_quad};
@if(gate_up) import package::gate_up::{quad_rows, store_quad};
@if(qkv_rope) import package::qkv_rope::{quad_rows, store_quad};

const TILE: u32 = 16u;

fn chunk_first(is_visual: bool, row: u32, at: u32) -> Chunk {
    @if(routed) {
        if is_visual { return chunk_visual(row, at); }
    }
    return chunk_text(row, at);
}

fn chunk_second(is_visual: bool, row: u32, at: u32) -> Chunk {
    @if(gate_up && routed) {
        if is_visual { return chunk_visual_up(row, at); }
    }
    @if(gate_up) {
        return chunk_text_up(row, at);
    } @else {
        return chunk_first(is_visual, row, at);
    }
}

// The products of a row's eight elements with those of four weight rows.
fn products(a: vec4<f32>, b: vec4<f32>, w0: Eight, w1: Eight, w2: Eight, w3: Eight) -> vec4<f32> {
    return vec4(
        dot(a, w0.lo) + dot(b, w0.hi),
        dot(a, w1.lo) + dot(b, w1.hi),
        dot(a, w2.lo) + dot(b, w2.hi),
        dot(a, w3.lo) + dot(b, w3.hi),
    );
}

fn run(group_id: vec3<u32>, thread: u32, lane: u32, quads: u32) {
    // First of the rows, or of the row numbers in `inputs`; and how many.
    var first = group_id.y * TILE;
    var count: u32;
    @if(routed) {
        let block = p.routing + (group_id.y / 4u) * 65u;
        let counts = inputs[block];
        let texts = counts & 0xffffu;
        let start = (group_id.y % 4u) * TILE;
        let total = select(texts, counts >> 16u, group_id.z == 1u);
        if total <= start {
            return;
        }
        first = block + 1u + start + select(0u, texts, group_id.z == 1u);
        count = min(TILE, total - start);
    } @else {
        count = min(TILE, p.rows - first);
    }
    let is_visual = group_id.z == 1u;
    let is_identity = ((p.identity >> group_id.z) & 1u) == 1u;
    let quad = group_id.x * 32u + thread;
    let rows = quad_rows(min(quad, quads - 1u));
    var low_row = first + min(lane % 8u, count - 1u);
    var high_row = first + min(lane % 8u + 8u, count - 1u);
    @if(routed) {
        low_row = inputs[low_row];
        high_row = inputs[high_row];
    }
    var low_square = 0.0;
    var high_square = 0.0;
    var a0 = vec4(0.0);
    var a1 = vec4(0.0);
    var a2 = vec4(0.0);
    var a3 = vec4(0.0);
    var a4 = vec4(0.0);
    var a5 = vec4(0.0);
    var a6 = vec4(0.0);
    var a7 = vec4(0.0);
    var a8 = vec4(0.0);
    var a9 = vec4(0.0);
    var a10 = vec4(0.0);
    var a11 = vec4(0.0);
    var a12 = vec4(0.0);
    var a13 = vec4(0.0);
    var a14 = vec4(0.0);
    var a15 = vec4(0.0);
    var c0: Chunk;
    var c1: Chunk;
    var c2: Chunk;
    var c3: Chunk;
    for (var at = 0u; at < p.eights; at++) {
        let k = at * 8u;
        if at % EIGHTS == 0u {
            c0 = chunk_first(is_visual, rows.x, at / EIGHTS);
            c1 = chunk_first(is_visual, rows.y, at / EIGHTS);
            c2 = chunk_second(is_visual, rows.z, at / EIGHTS);
            c3 = chunk_second(is_visual, rows.w, at / EIGHTS);
        }
        var w0 = scaled_eight(c0, at % EIGHTS);
        var w1 = scaled_eight(c1, at % EIGHTS);
        var w2 = scaled_eight(c2, at % EIGHTS);
        var w3 = scaled_eight(c3, at % EIGHTS);
        if is_identity {
            // Row n of the identity has its one at column n; this part begins at a row of its own.
            let lo = vec4(k, k + 1u, k + 2u, k + 3u) - vec4(p.part_first);
            let hi = lo + vec4(4u);
            w0 = Eight(vec4<f32>(lo == vec4(rows.x)), vec4<f32>(hi == vec4(rows.x)));
            w1 = Eight(vec4<f32>(lo == vec4(rows.y)), vec4<f32>(hi == vec4(rows.y)));
            w2 = Eight(vec4<f32>(lo == vec4(rows.z)), vec4<f32>(hi == vec4(rows.z)));
            w3 = Eight(vec4<f32>(lo == vec4(rows.w)), vec4<f32>(hi == vec4(rows.w)));
        }
        var lo = x_four(low_row, k);
        var hi = x_four(low_row, k + 4u);
        var high_lo = x_four(high_row, k);
        var high_hi = x_four(high_row, k + 4u);
        if p.norm != NONE {
            low_square += dot(lo, lo) + dot(hi, hi);
            high_square += dot(high_lo, high_lo) + dot(high_hi, high_hi);
            let g_lo = norm_four(k);
            let g_hi = norm_four(k + 4u);
            lo *= g_lo;
            hi *= g_hi;
            high_lo *= g_lo;
            high_hi *= g_hi;
        }
        a0 += products(subgroupBroadcast(lo, 0u), subgroupBroadcast(hi, 0u), w0, w1, w2, w3);
        a1 += products(subgroupBroadcast(lo, 1u), subgroupBroadcast(hi, 1u), w0, w1, w2, w3);
        a2 += products(subgroupBroadcast(lo, 2u), subgroupBroadcast(hi, 2u), w0, w1, w2, w3);
        a3 += products(subgroupBroadcast(lo, 3u), subgroupBroadcast(hi, 3u), w0, w1, w2, w3);
        a4 += products(subgroupBroadcast(lo, 4u), subgroupBroadcast(hi, 4u), w0, w1, w2, w3);
        a5 += products(subgroupBroadcast(lo, 5u), subgroupBroadcast(hi, 5u), w0, w1, w2, w3);
        a6 += products(subgroupBroadcast(lo, 6u), subgroupBroadcast(hi, 6u), w0, w1, w2, w3);
        a7 += products(subgroupBroadcast(lo, 7u), subgroupBroadcast(hi, 7u), w0, w1, w2, w3);
        if count > 8u {
            a8 += products(subgroupBroadcast(high_lo, 0u), subgroupBroadcast(high_hi, 0u), w0, w1, w2, w3);
            a9 += products(subgroupBroadcast(high_lo, 1u), subgroupBroadcast(high_hi, 1u), w0, w1, w2, w3);
            a10 += products(subgroupBroadcast(high_lo, 2u), subgroupBroadcast(high_hi, 2u), w0, w1, w2, w3);
            a11 += products(subgroupBroadcast(high_lo, 3u), subgroupBroadcast(high_hi, 3u), w0, w1, w2, w3);
            a12 += products(subgroupBroadcast(high_lo, 4u), subgroupBroadcast(high_hi, 4u), w0, w1, w2, w3);
            a13 += products(subgroupBroadcast(high_lo, 5u), subgroupBroadcast(high_hi, 5u), w0, w1, w2, w3);
            a14 += products(subgroupBroadcast(high_lo, 6u), subgroupBroadcast(high_hi, 6u), w0, w1, w2, w3);
            a15 += products(subgroupBroadcast(high_lo, 7u), subgroupBroadcast(high_hi, 7u), w0, w1, w2, w3);
        }
    }
    var low = 1.0;
    var high = 1.0;
    if p.norm != NONE {
        low = inverseSqrt(low_square / f32(p.inner) + p.eps);
        high = inverseSqrt(high_square / f32(p.inner) + p.eps);
    }
    let s0 = a0 * subgroupBroadcast(low, 0u);
    let s1 = a1 * subgroupBroadcast(low, 1u);
    let s2 = a2 * subgroupBroadcast(low, 2u);
    let s3 = a3 * subgroupBroadcast(low, 3u);
    let s4 = a4 * subgroupBroadcast(low, 4u);
    let s5 = a5 * subgroupBroadcast(low, 5u);
    let s6 = a6 * subgroupBroadcast(low, 6u);
    let s7 = a7 * subgroupBroadcast(low, 7u);
    let s8 = a8 * subgroupBroadcast(high, 0u);
    let s9 = a9 * subgroupBroadcast(high, 1u);
    let s10 = a10 * subgroupBroadcast(high, 2u);
    let s11 = a11 * subgroupBroadcast(high, 3u);
    let s12 = a12 * subgroupBroadcast(high, 4u);
    let s13 = a13 * subgroupBroadcast(high, 5u);
    let s14 = a14 * subgroupBroadcast(high, 6u);
    let s15 = a15 * subgroupBroadcast(high, 7u);
    if quad >= quads {
        return;
    }
    put(first, count, 0u, quad, s0, is_visual);
    put(first, count, 1u, quad, s1, is_visual);
    put(first, count, 2u, quad, s2, is_visual);
    put(first, count, 3u, quad, s3, is_visual);
    put(first, count, 4u, quad, s4, is_visual);
    put(first, count, 5u, quad, s5, is_visual);
    put(first, count, 6u, quad, s6, is_visual);
    put(first, count, 7u, quad, s7, is_visual);
    put(first, count, 8u, quad, s8, is_visual);
    put(first, count, 9u, quad, s9, is_visual);
    put(first, count, 10u, quad, s10, is_visual);
    put(first, count, 11u, quad, s11, is_visual);
    put(first, count, 12u, quad, s12, is_visual);
    put(first, count, 13u, quad, s13, is_visual);
    put(first, count, 14u, quad, s14, is_visual);
    put(first, count, 15u, quad, s15, is_visual);
}

fn put(first: u32, count: u32, i: u32, quad: u32, sums: vec4<f32>, is_visual: bool) {
    if i < count {
        @if(routed) {
            store_quad(inputs[first + i], quad, sums, is_visual);
        } @else {
            store_quad(first + i, quad, sums, is_visual);
        }
    }
}
