// Projection of many rows (prefill): a register-tiled matrix product, and the fused MMoE kernel where it is routed.
//
// A workgroup computes 64 rows times QUADS quads of weight rows; each thread LANE_ROWS rows times 2 quads. DEPTH columns of x and of
// the weights are staged in workgroup memory at a time, transposed, so that the inner loop reads vec4. Which sizes is a preset's
// (`presets.rs`) to say.
// Workgroups: x = quads / QUADS, y = blocks of 64 rows, z = modality if routed (`project_rows`).

import package::shared::project::{p, x_four, norm_four, Eight, NONE};
import package::shared::project_rows::{Rows, rows_of, row_at, eight, put, QUADS};
@if(linear) import package::linear::quad_rows;
@if(gate_up) import package::gate_up::quad_rows;
@if(qkv_rope) import package::qkv_rope::quad_rows;

// 8 or 4.
@id(1) override LANE_ROWS: u32 = 8u;
// 16 or 8.
@id(2) override DEPTH: u32 = 16u;
override THREADS: u32 = (64u / LANE_ROWS) * (QUADS / 2u);
// What is staged at a time, no more of either than there are threads: 4 x 4 blocks of x, and blocks of four weight rows by
// eight columns.
override X_BLOCKS: u32 = 4u * DEPTH;
override W_BLOCKS: u32 = QUADS * (DEPTH / 8u);

// [k][row / 4] and [k][quad].
var<workgroup> tile_x: array<vec4<f32>, DEPTH * 16u>;
var<workgroup> tile_w: array<vec4<f32>, DEPTH * QUADS>;
var<workgroup> squares: array<vec4<f32>, X_BLOCKS>;

// Rows k and k + 1 .. of a 4 x 4 block, transposed into four vec4 of one k each.
fn put_x(k: u32, quad: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) {
    tile_x[k * 16u + quad] = vec4(a.x, b.x, c.x, d.x);
    tile_x[(k + 1u) * 16u + quad] = vec4(a.y, b.y, c.y, d.y);
    tile_x[(k + 2u) * 16u + quad] = vec4(a.z, b.z, c.z, d.z);
    tile_x[(k + 3u) * 16u + quad] = vec4(a.w, b.w, c.w, d.w);
}

fn put_w(k: u32, quad: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) {
    tile_w[k * QUADS + quad] = vec4(a.x, b.x, c.x, d.x);
    tile_w[(k + 1u) * QUADS + quad] = vec4(a.y, b.y, c.y, d.y);
    tile_w[(k + 2u) * QUADS + quad] = vec4(a.z, b.z, c.z, d.z);
    tile_w[(k + 3u) * QUADS + quad] = vec4(a.w, b.w, c.w, d.w);
}

// 1 / rms of four rows, from the squares of their blocks.
fn norms_of(quad: u32) -> vec4<f32> {
    var sum = vec4(0.0);
    for (var i = 0u; i < DEPTH / 4u; i++) {
        sum += squares[quad * (DEPTH / 4u) + i];
    }
    return inverseSqrt(sum / f32(p.inner) + p.eps);
}

fn run(group_id: vec3<u32>, thread: u32, quads: u32) {
    let rows = rows_of(group_id);
    if rows.count == 0u {
        return;
    }
    let is_visual = group_id.z == 1u;
    let is_identity = ((p.identity >> group_id.z) & 1u) == 1u;

    // What this thread stages: the first threads blocks of x, the last ones blocks of the weights.
    let stages_x = thread < X_BLOCKS;
    let x_quad = thread / (DEPTH / 4u);
    let x_k = (thread % (DEPTH / 4u)) * 4u;
    let x_rows = vec4(
        row_at(rows, x_quad * 4u),
        row_at(rows, x_quad * 4u + 1u),
        row_at(rows, x_quad * 4u + 2u),
        row_at(rows, x_quad * 4u + 3u),
    );
    let stages_w = thread >= THREADS - W_BLOCKS;
    let w_block = select(0u, thread - (THREADS - W_BLOCKS), stages_w);
    let w_quad = w_block / (DEPTH / 8u);
    let w_k = (w_block % (DEPTH / 8u)) * 8u;
    let w_rows = quad_rows(group_id.x * QUADS + w_quad);
    @if(gate_up) let is_up = w_quad >= QUADS / 2u;
    @else let is_up = false;

    let my_rows = thread / (QUADS / 2u);
    let my_quad = thread % (QUADS / 2u);
    var square = vec4(0.0);
    var a00 = vec4(0.0); var a01 = vec4(0.0);
    var a10 = vec4(0.0); var a11 = vec4(0.0);
    var a20 = vec4(0.0); var a21 = vec4(0.0);
    var a30 = vec4(0.0); var a31 = vec4(0.0);
    var a40 = vec4(0.0); var a41 = vec4(0.0);
    var a50 = vec4(0.0); var a51 = vec4(0.0);
    var a60 = vec4(0.0); var a61 = vec4(0.0);
    var a70 = vec4(0.0); var a71 = vec4(0.0);

    for (var start = 0u; start < p.inner; start += DEPTH) {
        if stages_x {
            let k = start + x_k;
            var b0 = x_four(x_rows.x, k);
            var b1 = x_four(x_rows.y, k);
            var b2 = x_four(x_rows.z, k);
            var b3 = x_four(x_rows.w, k);
            if p.norm != NONE {
                square += vec4(dot(b0, b0), dot(b1, b1), dot(b2, b2), dot(b3, b3));
                let g = norm_four(k);
                b0 *= g;
                b1 *= g;
                b2 *= g;
                b3 *= g;
            }
            put_x(x_k, x_quad, b0, b1, b2, b3);
        }
        if stages_w && is_identity {
            // Row n of the identity has its one at column n; this part begins at a row of its own.
            let k = start + w_k;
            let lo = vec4(k, k + 1u, k + 2u, k + 3u) - vec4(p.part_first);
            let hi = lo + vec4(4u);
            let one = vec4(1.0);
            let zero = vec4(0.0);
            put_w(w_k, w_quad,
                select(zero, one, lo == vec4(w_rows.x)), select(zero, one, lo == vec4(w_rows.y)),
                select(zero, one, lo == vec4(w_rows.z)), select(zero, one, lo == vec4(w_rows.w)));
            put_w(w_k + 4u, w_quad,
                select(zero, one, hi == vec4(w_rows.x)), select(zero, one, hi == vec4(w_rows.y)),
                select(zero, one, hi == vec4(w_rows.z)), select(zero, one, hi == vec4(w_rows.w)));
        } else if stages_w {
            var b0 = Eight(vec4(0.0), vec4(0.0));
            var b1 = b0;
            var b2 = b0;
            var b3 = b0;
            let at = (start + w_k) / 8u;
            if at < p.eights {
                b0 = eight(is_visual, is_up, w_rows.x, at);
                b1 = eight(is_visual, is_up, w_rows.y, at);
                b2 = eight(is_visual, is_up, w_rows.z, at);
                b3 = eight(is_visual, is_up, w_rows.w, at);
            }
            put_w(w_k, w_quad, b0.lo, b1.lo, b2.lo, b3.lo);
            put_w(w_k + 4u, w_quad, b0.hi, b1.hi, b2.hi, b3.hi);
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            let w0 = tile_w[i * QUADS + my_quad];
            let w1 = tile_w[i * QUADS + QUADS / 2u + my_quad];
            let x0 = tile_x[i * 16u + my_rows];
            a00 += x0.x * w0; a01 += x0.x * w1;
            a10 += x0.y * w0; a11 += x0.y * w1;
            a20 += x0.z * w0; a21 += x0.z * w1;
            a30 += x0.w * w0; a31 += x0.w * w1;
            if LANE_ROWS == 8u {
                let x1 = tile_x[i * 16u + 8u + my_rows];
                a40 += x1.x * w0; a41 += x1.x * w1;
                a50 += x1.y * w0; a51 += x1.y * w1;
                a60 += x1.z * w0; a61 += x1.z * w1;
                a70 += x1.w * w0; a71 += x1.w * w1;
            }
        }
        workgroupBarrier();
    }

    var low = vec4(1.0);
    var high = vec4(1.0);
    if p.norm != NONE {
        if stages_x {
            squares[thread] = square;
        }
        workgroupBarrier();
        low = norms_of(my_rows);
        if LANE_ROWS == 8u {
            high = norms_of(my_rows + 8u);
        }
    }
    let quad = group_id.x * QUADS + my_quad;
    let row = my_rows * 4u;
    put(rows, row, quad, quads, a00 * low.x, a01 * low.x, is_visual);
    put(rows, row + 1u, quad, quads, a10 * low.y, a11 * low.y, is_visual);
    put(rows, row + 2u, quad, quads, a20 * low.z, a21 * low.z, is_visual);
    put(rows, row + 3u, quad, quads, a30 * low.w, a31 * low.w, is_visual);
    if LANE_ROWS == 8u {
        put(rows, row + 32u, quad, quads, a40 * high.x, a41 * high.x, is_visual);
        put(rows, row + 33u, quad, quads, a50 * high.y, a51 * high.y, is_visual);
        put(rows, row + 34u, quad, quads, a60 * high.z, a61 * high.z, is_visual);
        put(rows, row + 35u, quad, quads, a70 * high.w, a71 * high.w, is_visual);
    }
}
