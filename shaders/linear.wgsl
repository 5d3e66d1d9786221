// y = x·Wᵀ (+ bias), perhaps routed; perhaps with RMSNorm before, GELU and residual after.

import package::shared::math::gelu;
import package::shared::project::{p, result, residual, vectors, bias_of, NONE};
@if(few) import package::shared::project_few::{run, THREADS};
@if(many) import package::shared::project_many::{run, THREADS};
@if(lanes) import package::shared::project_lanes::run;
@if(matrix) import package::shared::project_matrix::run;

fn quads() -> u32 {
    return (p.part_rows + 3u) / 4u;
}

// Four neighbouring rows, the last one repeated beyond the end.
fn quad_rows(quad: u32) -> vec4<u32> {
    return min(vec4(quad * 4u) + vec4(0u, 1u, 2u, 3u), vec4(p.part_rows - 1u));
}

fn store_quad(row: u32, quad: u32, sums: vec4<f32>, is_visual: bool) {
    for (var i = 0u; i < 4u; i++) {
        if quad * 4u + i < p.part_rows {
            let column = p.part_first + quad * 4u + i;
            var y = sums[i] + bias_of(is_visual, column);
            if p.gelu == 1u {
                y = gelu(y);
            }
            if p.scale != NONE {
                y *= vectors[p.scale + column];
            }
            let at = row * p.width + column;
            if p.residual == 1u {
                y += residual[at];
            }
            result[at] = y;
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
