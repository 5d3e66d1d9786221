// y = x / sqrt(mean(x²) + eps) ∘ weight; one workgroup a row.

import package::shared::grid::group_number;
import package::shared::reduce::sum;

struct Params {
    rows: u32,
    width: u32,
    weight: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> vectors: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group_number(group_id, groups);
    if row >= p.rows {
        return;
    }
    let base = row * p.width;
    var square = 0.0;
    for (var i = thread; i < p.width; i += 256u) {
        square += x[base + i] * x[base + i];
    }
    let scale = inverseSqrt(sum(thread, square) / f32(p.width) + p.eps);
    for (var i = thread; i < p.width; i += 256u) {
        result[base + i] = x[base + i] * scale * vectors[p.weight + i];
    }
}
