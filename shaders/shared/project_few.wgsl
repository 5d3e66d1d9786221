// Projection of few rows (decode): a matrix-vector product that reads each weight once.
//
// A workgroup has GROUPS groups of LANES lanes, as the preset says (`presets.rs`). A group computes one quad of weight rows for up to ROWS rows of x; its lanes
// read neighbouring chunks, so a weight row is read in pieces of LANES times 16 bytes (f32: 32). With a norm,
// out = rsqrt(mean(x²) + eps) · W·(x ∘ g): the squares are summed on the way and the row is scaled at the end.
// Workgroups: x = quads / GROUPS, y = rows / ROWS.

import package::shared::project::{p, x_four, norm_four, chunk_text, eight_of, EIGHTS, Chunk, Eight, NONE};
@if(gate_up) import package::shared::project::chunk_text_up;
@if(linear) import package::linear::{quad_rows, store_quad};
@if(gate_up) import package::gate_up::{quad_rows, store_quad};
@if(qkv_rope) import package::qkv_rope::{quad_rows, store_quad};

@id(0) override GROUPS: u32 = 2u;
// A power of two, at least ROWS.
@id(1) override LANES: u32 = 32u;
override THREADS: u32 = GROUPS * LANES;
@if(single) const ROWS: u32 = 1u;
@else const ROWS: u32 = 4u;

var<workgroup> partial: array<vec4<f32>, THREADS * ROWS>;
@if(norm) var<workgroup> squares: array<f32, THREADS * ROWS>;

fn run(group_id: vec3<u32>, thread: u32, quads: u32) {
    let lane = thread % LANES;
    let quad = min(group_id.x * GROUPS + thread / LANES, quads - 1u);
    let first_row = group_id.y * ROWS;
    let base = quad_rows(quad);
    var sums: array<vec4<f32>, ROWS>;
    @if(norm) var square: array<f32, ROWS>;
    for (var chunk = lane; chunk < p.eights / EIGHTS; chunk += LANES) {
        let c0 = chunk_text(base.x, chunk);
        let c1 = chunk_text(base.y, chunk);
        @if(!gate_up) let c2 = chunk_text(base.z, chunk);
        @if(!gate_up) let c3 = chunk_text(base.w, chunk);
        @if(gate_up) let c2 = chunk_text_up(base.z, chunk);
        @if(gate_up) let c3 = chunk_text_up(base.w, chunk);
        @if(q4 || q8) let scale = vec4(c0.scale, c1.scale, c2.scale, c3.scale);
        for (var i = 0u; i < EIGHTS; i++) {
            let k = (chunk * EIGHTS + i) * 8u;
            let w0 = eight_of(c0, i);
            let w1 = eight_of(c1, i);
            let w2 = eight_of(c2, i);
            let w3 = eight_of(c3, i);
            @if(norm) let g_lo = norm_four(k);
            @if(norm) let g_hi = norm_four(k + 4u);
            for (var r = 0u; r < ROWS; r++) {
                let row = min(first_row + r, p.rows - 1u);
                var lo = x_four(row, k);
                var hi = x_four(row, k + 4u);
                @if(norm) {
                    square[r] += dot(lo, lo) + dot(hi, hi);
                    lo *= g_lo;
                    hi *= g_hi;
                }
                let low = vec4(dot(w0.lo, lo), dot(w1.lo, lo), dot(w2.lo, lo), dot(w3.lo, lo));
                let high = vec4(dot(w0.hi, hi), dot(w1.hi, hi), dot(w2.hi, hi), dot(w3.hi, hi));
                @if(q4 || q8) {
                    sums[r] += (low + high) * scale;
                } @else {
                    sums[r] += low;
                    sums[r] += high;
                }
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) {
        partial[thread * ROWS + r] = sums[r];
        @if(norm) squares[thread * ROWS + r] = square[r];
    }
    // A tree over the lanes of each group.
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            for (var r = 0u; r < ROWS; r++) {
                partial[thread * ROWS + r] += partial[(thread + half) * ROWS + r];
                @if(norm) squares[thread * ROWS + r] += squares[(thread + half) * ROWS + r];
            }
        }
    }
    workgroupBarrier();
    let row = first_row + lane;
    if lane < ROWS && row < p.rows && group_id.x * GROUPS + thread / LANES < quads {
        let at = (thread - lane) * ROWS + lane;
        var sum = partial[at];
        @if(norm) {
            sum *= inverseSqrt(squares[at] / f32(p.inner) + p.eps);
        }
        store_quad(row, quad, sum, false);
    }
}
