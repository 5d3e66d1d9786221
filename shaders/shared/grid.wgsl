// Numbering of threads and workgroups in grids that are wider than one dimension may be.

// Number of a thread in workgroups of 256.
fn thread_number(group_id: vec3<u32>, groups: vec3<u32>, thread: u32) -> u32 {
    return (group_id.y * groups.x + group_id.x) * 256u + thread;
}

// Number of a workgroup.
fn group_number(group_id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group_id.y * groups.x + group_id.x;
}
