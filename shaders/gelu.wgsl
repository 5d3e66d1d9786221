// Exact GELU: y = x/2 · (1 + erf(x/√2))

import package::shared::grid::thread_number;
import package::shared::math::gelu;

struct Params {
    elements: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> a: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = thread_number(group_id, groups, thread);
    if i < p.elements {
        result[i] = gelu(a[i]);
    }
}
