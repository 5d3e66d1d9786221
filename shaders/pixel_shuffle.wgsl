// Folds s × s neighbouring patches into the channels of one token.

import package::shared::grid::thread_number;

struct Params {
    elements: u32,
    // Patches along a side, s, channels of a patch.
    side: u32,
    scale: u32,
    width: u32,
    // Rows of a tile before its patches: 1 to drop a class token.
    skip: u32,
    // 1: tokens are listed column by column.
    columns: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> x: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = thread_number(group_id, groups, thread);
    if i >= p.elements {
        return;
    }
    let along = p.side / p.scale;
    let channels = p.scale * p.scale * p.width;
    let token = i / channels;
    let tile = token / (along * along);
    let within = token % (along * along);
    let row = select(within / along, within % along, p.columns == 1u);
    let column = select(within % along, within / along, p.columns == 1u);
    let channel = i % channels;
    let piece = channel / p.width;
    let patch_row = p.scale * row + piece / p.scale;
    let patch_column = p.scale * column + piece % p.scale;
    let source = tile * (p.side * p.side + p.skip) + p.skip + patch_row * p.side + patch_column;
    result[i] = x[source * p.width + channel % p.width];
}
