// Joins the splits of attention_split. Workgroups of 64 threads: x = rows times heads.

struct Params {
    head_size: u32,
    splits: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> parts: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let d = p.head_size;
    let stride = d + 2u;
    let base = group_id.x * p.splits * stride;
    var largest = parts[base + d];
    for (var s = 1u; s < p.splits; s++) {
        largest = max(largest, parts[base + s * stride + d]);
    }
    for (var e = thread; e < d; e += 64u) {
        var sum = 0.0;
        var total = 0.0;
        for (var s = 0u; s < p.splits; s++) {
            let at = base + s * stride;
            let weight = exp(parts[at + d] - largest);
            sum += weight * parts[at + e];
            total += weight * parts[at + d + 1u];
        }
        result[group_id.x * d + e] = sum / total;
    }
}
