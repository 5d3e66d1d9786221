// Projection of many rows (prefill) with cooperative matrices: the tier `matrix`, native only.
//
// A workgroup computes 64 rows times 32 quads of weight rows with SUBGROUPS subgroups, each a square of 4 x 4 matrices of
// SIZE x SIZE sums in f32. DEPTH columns of x and of the weights are staged in workgroup memory at a time.
// Workgroups: x = quads / 32, y = blocks of 64 rows, z = modality if routed (`project_rows`).
//
// Factors are f32 where the device multiplies those (f32x8). Else they are f16 (f16x16, f16x8), which reaches from 6e-8 to
// 65504 while activations reach 1e5: so both sides are scaled by a power of two each, such that the largest staged so far
// lies well inside. A bf16 weight is then exact, and x is rounded to 11 bits. When a larger one comes, the sums are scaled
// with it and the slice is staged again; that is rare after the first slice.

import package::shared::project::{p, x_four, x_one, norm_four, Eight, NONE};
import package::shared::project_rows::{Rows, rows_of, row_at, eight, put};
@if(linear) import package::linear::quad_rows;
@if(gate_up) import package::gate_up::quad_rows;
@if(qkv_rope) import package::qkv_rope::quad_rows;

@if(f16x8 || f16x16) enable f16;
enable wgpu_cooperative_matrix;
// What depends on arguments or variables naga takes for non-uniform; every branch around matrices here is uniform.
diagnostic(off, derivative_uniformity);

@if(f32x8) alias Factor = f32;
@if(f16x8 || f16x16) alias Factor = f16;
@if(f32x8) alias Left = coop_mat8x8<f32, A>;
@if(f32x8) alias Right = coop_mat8x8<f32, B>;
@if(f16x8) alias Left = coop_mat8x8<f16, A>;
@if(f16x8) alias Right = coop_mat8x8<f16, B>;
@if(f16x16) alias Left = coop_mat16x16<f16, A>;
@if(f16x16) alias Right = coop_mat16x16<f16, B>;
@if(f32x8 || f16x8) alias Sums = coop_mat8x8<f32, C>;
@if(f16x16) alias Sums = coop_mat16x16<f32, C>;

@if(f32x8 || f16x8) const SIZE: u32 = 8u;
@if(f16x16) const SIZE: u32 = 16u;
@if(f32x8) const DEPTH: u32 = 16u;
@if(f16x8 || f16x16) const DEPTH: u32 = 32u;
// 16 bytes more than DEPTH elements: rows of a matrix on different banks, and aligned as Vulkan asks.
@if(f32x8) const STRIDE: u32 = 20u;
@if(f16x8 || f16x16) const STRIDE: u32 = 40u;
// Rows and columns of a subgroup, and subgroups beside one another.
const SIDE: u32 = 4u * SIZE;
const ACROSS: u32 = 128u / SIDE;
const SUBGROUPS: u32 = ACROSS * (64u / SIDE);
const FOURS: u32 = DEPTH / 4u;
const EIGHTHS: u32 = DEPTH / 8u;
// Of f16: beyond this the scale is lowered; where the largest is put; and the largest f32.
const LIMIT: f32 = 32768.0;
const FINITE: f32 = 3.4028234e38;

// [row][k] and [weight row][k].
var<workgroup> tile_x: array<Factor, 64u * STRIDE>;
var<workgroup> tile_w: array<Factor, 128u * STRIDE>;
// Of each four columns of a row, for the norm.
var<workgroup> squares: array<f32, 64u * FOURS>;
// One matrix of sums of each subgroup, on its way out.
var<workgroup> out_tile: array<f32, SUBGROUPS * SIZE * SIZE>;
// Whether some factor did not fit, and the bits of the largest of either side so far.
@if(f16x8 || f16x16) var<workgroup> beyond: atomic<u32>;
@if(f16x8 || f16x16) var<workgroup> largest_x: atomic<u32>;
@if(f16x8 || f16x16) var<workgroup> largest_w: atomic<u32>;

struct Group {
    thread: u32,
    threads: u32,
    // First quad of the workgroup.
    quad: u32,
    is_visual: bool,
}

// Four of x behind the norm's weights: number `i` of the slice.
fn slice_x(rows: Rows, start: u32, i: u32) -> vec4<f32> {
    let k = start + (i % FOURS) * 4u;
    var v = x_four(row_at(rows, i / FOURS), k);
    if p.norm != NONE {
        v *= norm_four(k);
    }
    return v;
}

// Eight of the weights: number `i` of the slice; zeros beyond the end.
fn slice_w(group: Group, start: u32, i: u32) -> Eight {
    let quad = i / (4u * EIGHTHS);
    let row = quad_rows(group.quad + quad)[(i / EIGHTHS) % 4u];
    let at = start / 8u + i % EIGHTHS;
    if at >= p.eights {
        return Eight(vec4(0.0), vec4(0.0));
    }
    @if(gate_up) {
        return eight(group.is_visual, quad >= 16u, row, at);
    } @else {
        return eight(group.is_visual, false, row, at);
    }
}

fn stage_x(rows: Rows, group: Group, start: u32, scale: f32) {
    for (var i = group.thread; i < 64u * FOURS; i += group.threads) {
        let v = slice_x(rows, start, i);
        @if(f16x8 || f16x16) check(v, scale);
        let at = (i / FOURS) * STRIDE + (i % FOURS) * 4u;
        let f = vec4<Factor>(v * scale);
        tile_x[at] = f.x;
        tile_x[at + 1u] = f.y;
        tile_x[at + 2u] = f.z;
        tile_x[at + 3u] = f.w;
    }
}

fn stage_w(group: Group, start: u32, scale: f32) {
    for (var i = group.thread; i < 128u * EIGHTHS; i += group.threads) {
        let v = slice_w(group, start, i);
        @if(f16x8 || f16x16) check(v.lo, scale);
        @if(f16x8 || f16x16) check(v.hi, scale);
        let at = (i / EIGHTHS) * STRIDE + (i % EIGHTHS) * 8u;
        let lo = vec4<Factor>(v.lo * scale);
        let hi = vec4<Factor>(v.hi * scale);
        tile_w[at] = lo.x;
        tile_w[at + 1u] = lo.y;
        tile_w[at + 2u] = lo.z;
        tile_w[at + 3u] = lo.w;
        tile_w[at + 4u] = hi.x;
        tile_w[at + 5u] = hi.y;
        tile_w[at + 6u] = hi.z;
        tile_w[at + 7u] = hi.w;
    }
}

// Adds a slice's squares; each thread has entries of its own.
fn add_squares(rows: Rows, group: Group, start: u32) {
    for (var i = group.thread; i < 64u * FOURS; i += group.threads) {
        let v = x_four(row_at(rows, i / FOURS), start + (i % FOURS) * 4u);
        squares[i] = select(squares[i], 0.0, start == 0u) + dot(v, v);
    }
}

// Tells of finite factors that are too large for f16. Others stay what they are: infinite or not a number.
@if(f16x8 || f16x16) fn check(v: vec4<f32>, scale: f32) {
    if any((abs(v) > vec4(LIMIT / scale)) & (abs(v) <= vec4(FINITE))) {
        atomicStore(&beyond, 1u);
    }
}

@if(f16x8 || f16x16) fn largest_of(v: vec4<f32>) -> u32 {
    let finite = select(vec4(0.0), abs(v), abs(v) <= vec4(FINITE));
    return bitcast<u32>(max(max(finite.x, finite.y), max(finite.z, finite.w)));
}

// Adds a slice to the largest so far. The bits of positive floats are ordered as they are.
@if(f16x8 || f16x16) fn measure(rows: Rows, group: Group, start: u32) {
    var most_x = 0u;
    for (var i = group.thread; i < 64u * FOURS; i += group.threads) {
        most_x = max(most_x, largest_of(slice_x(rows, start, i)));
    }
    atomicMax(&largest_x, most_x);
    var most_w = 0u;
    for (var i = group.thread; i < 128u * EIGHTHS; i += group.threads) {
        let v = slice_w(group, start, i);
        most_w = max(most_w, max(largest_of(v.lo), largest_of(v.hi)));
    }
    atomicMax(&largest_w, most_w);
}

// The power of two that brings the largest into 64 .. 128: room for growth by 256, and 20 bits below for what is smaller.
@if(f16x8 || f16x16) fn scale_for(largest: u32) -> f32 {
    return bitcast<f32>(u32(clamp(260 - i32(largest >> 23u), 67, 187)) << 23u);
}

fn run(group_id: vec3<u32>, thread: u32, threads: u32, subgroup_size: u32, quads: u32) {
    let rows = rows_of(group_id);
    if rows.count == 0u {
        return;
    }
    let group = Group(thread, threads, group_id.x * 32u, group_id.z == 1u);
    let is_identity = ((p.identity >> group_id.z) & 1u) == 1u;
    // A device may make more and smaller subgroups than it was asked to: those do the work of others once more.
    let mine = (thread / subgroup_size) % SUBGROUPS;
    let left = (mine / ACROSS) * SIDE * STRIDE;
    let right = (mine % ACROSS) * SIDE * STRIDE;
    var scale_x = 1.0;
    var scale_w = 1.0;
    @if(f16x8 || f16x16) {
        if thread == 0u {
            // So the first slice is measured before it is multiplied.
            atomicStore(&beyond, 1u);
            atomicStore(&largest_x, 0u);
            atomicStore(&largest_w, 0u);
        }
        workgroupBarrier();
    }
    var c00: Sums; var c01: Sums; var c02: Sums; var c03: Sums;
    var c10: Sums; var c11: Sums; var c12: Sums; var c13: Sums;
    var c20: Sums; var c21: Sums; var c22: Sums; var c23: Sums;
    var c30: Sums; var c31: Sums; var c32: Sums; var c33: Sums;

    // Rows that an identity passes are copied below.
    let inner = select(p.inner, 0u, is_identity);
    for (var start = 0u; start < inner; start += DEPTH) {
        stage_x(rows, group, start, scale_x);
        stage_w(group, start, scale_w);
        if p.norm != NONE {
            add_squares(rows, group, start);
        }
        @if(f32x8) workgroupBarrier();
        @if(f16x8 || f16x16) {
            if workgroupUniformLoad(&beyond) != 0u {
                if thread == 0u {
                    atomicStore(&beyond, 0u);
                }
                measure(rows, group, start);
                let new_x = scale_for(workgroupUniformLoad(&largest_x));
                let new_w = scale_for(workgroupUniformLoad(&largest_w));
                let by_x = new_x / scale_x;
                let by_w = new_w / scale_w;
                c00 = c00 * by_x * by_w; c01 = c01 * by_x * by_w; c02 = c02 * by_x * by_w; c03 = c03 * by_x * by_w;
                c10 = c10 * by_x * by_w; c11 = c11 * by_x * by_w; c12 = c12 * by_x * by_w; c13 = c13 * by_x * by_w;
                c20 = c20 * by_x * by_w; c21 = c21 * by_x * by_w; c22 = c22 * by_x * by_w; c23 = c23 * by_x * by_w;
                c30 = c30 * by_x * by_w; c31 = c31 * by_x * by_w; c32 = c32 * by_x * by_w; c33 = c33 * by_x * by_w;
                scale_x = new_x;
                scale_w = new_w;
                stage_x(rows, group, start, scale_x);
                stage_w(group, start, scale_w);
                workgroupBarrier();
            }
        }
        for (var k = 0u; k < DEPTH; k += SIZE) {
            let a0 = coopLoadT<Left>(&tile_x[left + k], STRIDE);
            let a1 = coopLoadT<Left>(&tile_x[left + SIZE * STRIDE + k], STRIDE);
            let a2 = coopLoadT<Left>(&tile_x[left + 2u * SIZE * STRIDE + k], STRIDE);
            let a3 = coopLoadT<Left>(&tile_x[left + 3u * SIZE * STRIDE + k], STRIDE);
            let b0 = coopLoad<Right>(&tile_w[right + k], STRIDE);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c20 = coopMultiplyAdd(a2, b0, c20);
            c30 = coopMultiplyAdd(a3, b0, c30);
            let b1 = coopLoad<Right>(&tile_w[right + SIZE * STRIDE + k], STRIDE);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c11 = coopMultiplyAdd(a1, b1, c11);
            c21 = coopMultiplyAdd(a2, b1, c21);
            c31 = coopMultiplyAdd(a3, b1, c31);
            let b2 = coopLoad<Right>(&tile_w[right + 2u * SIZE * STRIDE + k], STRIDE);
            c02 = coopMultiplyAdd(a0, b2, c02);
            c12 = coopMultiplyAdd(a1, b2, c12);
            c22 = coopMultiplyAdd(a2, b2, c22);
            c32 = coopMultiplyAdd(a3, b2, c32);
            let b3 = coopLoad<Right>(&tile_w[right + 3u * SIZE * STRIDE + k], STRIDE);
            c03 = coopMultiplyAdd(a0, b3, c03);
            c13 = coopMultiplyAdd(a1, b3, c13);
            c23 = coopMultiplyAdd(a2, b3, c23);
            c33 = coopMultiplyAdd(a3, b3, c33);
        }
        workgroupBarrier();
    }

    let at = mine * SIZE * SIZE;
    let unit = 1.0 / scale_x / scale_w;
    coopStoreT(c00, &out_tile[at], SIZE); finish(rows, group, 0u, 0u, unit, is_identity, quads);
    coopStoreT(c01, &out_tile[at], SIZE); finish(rows, group, 0u, 1u, unit, is_identity, quads);
    coopStoreT(c02, &out_tile[at], SIZE); finish(rows, group, 0u, 2u, unit, is_identity, quads);
    coopStoreT(c03, &out_tile[at], SIZE); finish(rows, group, 0u, 3u, unit, is_identity, quads);
    coopStoreT(c10, &out_tile[at], SIZE); finish(rows, group, 1u, 0u, unit, is_identity, quads);
    coopStoreT(c11, &out_tile[at], SIZE); finish(rows, group, 1u, 1u, unit, is_identity, quads);
    coopStoreT(c12, &out_tile[at], SIZE); finish(rows, group, 1u, 2u, unit, is_identity, quads);
    coopStoreT(c13, &out_tile[at], SIZE); finish(rows, group, 1u, 3u, unit, is_identity, quads);
    coopStoreT(c20, &out_tile[at], SIZE); finish(rows, group, 2u, 0u, unit, is_identity, quads);
    coopStoreT(c21, &out_tile[at], SIZE); finish(rows, group, 2u, 1u, unit, is_identity, quads);
    coopStoreT(c22, &out_tile[at], SIZE); finish(rows, group, 2u, 2u, unit, is_identity, quads);
    coopStoreT(c23, &out_tile[at], SIZE); finish(rows, group, 2u, 3u, unit, is_identity, quads);
    coopStoreT(c30, &out_tile[at], SIZE); finish(rows, group, 3u, 0u, unit, is_identity, quads);
    coopStoreT(c31, &out_tile[at], SIZE); finish(rows, group, 3u, 1u, unit, is_identity, quads);
    coopStoreT(c32, &out_tile[at], SIZE); finish(rows, group, 3u, 2u, unit, is_identity, quads);
    coopStoreT(c33, &out_tile[at], SIZE); finish(rows, group, 3u, 3u, unit, is_identity, quads);
}

// Hands out the matrices at (down, along) of all subgroups; each thread takes quads of two that are 16 quads apart.
fn finish(rows: Rows, group: Group, down: u32, along: u32, unit: f32, is_identity: bool, quads: u32) {
    workgroupBarrier();
    for (var i = group.thread; i < 64u; i += group.threads) {
        let column = (i % (SIZE / 4u)) * 4u;
        let row = (i / (SIZE / 4u)) % SIZE;
        let pair = i / (SIZE * SIZE / 4u);
        let below = pair / (ACROSS / 2u);
        let beside = pair % (ACROSS / 2u);
        let my_row = below * SIDE + down * SIZE + row;
        let my_quad = (beside * SIDE + along * SIZE + column) / 4u;
        let at = (below * ACROSS + beside) * SIZE * SIZE + row * SIZE + column;
        let other = at + (ACROSS / 2u) * SIZE * SIZE;
        var a = vec4(out_tile[at], out_tile[at + 1u], out_tile[at + 2u], out_tile[at + 3u]) * unit;
        var b = vec4(out_tile[other], out_tile[other + 1u], out_tile[other + 2u], out_tile[other + 3u]) * unit;
        if is_identity {
            a = copied(rows, my_row, group.quad + my_quad);
            b = copied(rows, my_row, group.quad + my_quad + 16u);
        } else if p.norm != NONE {
            var sum = 0.0;
            for (var k = 0u; k < FOURS; k++) {
                sum += squares[my_row * FOURS + k];
            }
            let norm = inverseSqrt(sum / f32(p.inner) + p.eps);
            a *= norm;
            b *= norm;
        }
        put(rows, my_row, group.quad + my_quad, quads, a, b, group.is_visual);
    }
    workgroupBarrier();
}

// What an identity makes of a row, at the columns of a quad.
fn copied(rows: Rows, i: u32, quad: u32) -> vec4<f32> {
    let columns = min(quad_rows(quad) + vec4(p.part_first), vec4(p.inner - 1u));
    let at = vec4(row_at(rows, i) * p.inner) + columns;
    return vec4(x_one(at.x), x_one(at.y), x_one(at.z), x_one(at.w));
}
