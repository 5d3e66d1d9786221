// Cuts tiles into patches: row n of the result is patch n, channel by channel. The projection that follows is `linear`.

import package::shared::grid::thread_number;

struct Params {
    elements: u32,
    // Pixels and patches along a side of a tile, pixels along a side of a patch.
    side: u32,
    along: u32,
    patch_side: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> pixels: array<f32>;

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
    let area = p.patch_side * p.patch_side;
    let number = i / (3u * area);
    let within = i % (3u * area);
    let tile = number / (p.along * p.along);
    let place = number % (p.along * p.along);
    let channel = within / area;
    let y = (place / p.along) * p.patch_side + (within % area) / p.patch_side;
    let x = (place % p.along) * p.patch_side + within % p.patch_side;
    result[i] = pixels[((tile * 3u + channel) * p.side + y) * p.side + x];
}
