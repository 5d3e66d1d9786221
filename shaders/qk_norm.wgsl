// RMSNorm of the queries and of the keys inside rows [q | k | v]; values pass through. Three workgroups a row: y is which.

import package::shared::reduce::sum;

struct Params {
    // A third of a row.
    width: u32,
    q: u32,
    k: u32,
    eps: f32,
    first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> vectors: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let part = group_id.y;
    let base = ((p.first + group_id.x) * 3u + part) * p.width;
    if part == 2u {
        for (var i = thread; i < p.width; i += 256u) {
            result[base + i] = x[base + i];
        }
        return;
    }
    var square = 0.0;
    for (var i = thread; i < p.width; i += 256u) {
        square += x[base + i] * x[base + i];
    }
    let scale = inverseSqrt(sum(thread, square) / f32(p.width) + p.eps);
    let weight = select(p.q, p.k, part == 1u);
    for (var i = thread; i < p.width; i += 256u) {
        result[base + i] = x[base + i] * scale * vectors[weight + i];
    }
}
