// silu(x·Gᵀ) ∘ (x·Uᵀ), perhaps routed, perhaps with RMSNorm before: the upper half of the MMoE FFN.

import package::shared::math::silu;
import package::shared::project::{p, result};
@if(few) import package::shared::project_few::{run, THREADS};
@if(many) import package::shared::project_many::{run, THREADS};
@if(lanes) import package::shared::project_lanes::run;
@if(matrix) import package::shared::project_matrix::run;
@if(many || matrix) import package::shared::project_rows::QUADS;

// For few rows (and a lane each) a quad is two rows of the gate and the same two of the up projection.
@if(few || lanes) fn quads() -> u32 {
    return (p.part_rows + 1u) / 2u;
}

@if(few || lanes) fn quad_rows(quad: u32) -> vec4<u32> {
    return min(vec4(quad * 2u) + vec4(0u, 1u, 0u, 1u), vec4(p.part_rows - 1u));
}

@if(few || lanes) fn store_quad(row: u32, quad: u32, sums: vec4<f32>, is_visual: bool) {
    let at = row * p.width + p.part_first + quad * 2u;
    result[at] = silu(sums.x) * sums.z;
    if quad * 2u + 1u < p.part_rows {
        result[at + 1u] = silu(sums.y) * sums.w;
    }
}

// For many rows half of a workgroup's quads are of the gate, the others of the up projection at the same columns.
@if(many || matrix) fn quads() -> u32 {
    return (p.part_rows + 3u) / 4u;
}

@if(many || matrix) fn first_row(quad: u32) -> u32 {
    let half = QUADS / 2u;
    return ((quad / QUADS) * half + quad % half) * 4u;
}

@if(many || matrix) fn quad_rows(quad: u32) -> vec4<u32> {
    return min(vec4(first_row(quad)) + vec4(0u, 1u, 2u, 3u), vec4(p.part_rows - 1u));
}

@if(many || matrix) fn store_quads(row: u32, quad: u32, gate: vec4<f32>, up: vec4<f32>) {
    let first = first_row(quad);
    for (var i = 0u; i < 4u; i++) {
        if first + i < p.part_rows {
            result[row * p.width + p.part_first + first + i] = silu(gate[i]) * up[i];
        }
    }
}

// Threads of a workgroup: as many subgroups as project_matrix has work for.
@if(matrix) @id(0) override THREADS: u32 = 64u;

@if(few || many) @compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    run(group_id, thread, quads());
}

@if(lanes) @compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    run(group_id, thread, lane, quads());
}

@if(matrix) @compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_size) size: u32,
) {
    run(group_id, thread, THREADS, size, quads());
}
