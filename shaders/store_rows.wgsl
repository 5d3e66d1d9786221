// Writes the tokens of each tile into a state, from a first slot per tile on.

import package::shared::grid::thread_number;

struct Params {
    elements: u32,
    // Elements of one tile, and of one token.
    tile: u32,
    width: u32,
    // Words of the first slots in `inputs`.
    slots: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> state: array<f32>;
@group(1) @binding(1) var<storage, read> x: array<f32>;
@group(1) @binding(2) var<storage, read> inputs: array<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = thread_number(group_id, groups, thread);
    if i < p.elements {
        state[inputs[p.slots + i / p.tile] * p.width + i % p.tile] = x[i];
    }
}
