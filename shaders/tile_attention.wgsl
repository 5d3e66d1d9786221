// Attention without a mask among the rows of each tile, by blocks of 16 rows.
//
// Workgroups: x = blocks of 16 rows times tiles, y = heads, z = columns / 128.

import package::shared::flash::{Block, run};

struct Params {
    // Rows of a tile, width of the result, head size, blocks of a tile.
    rows: u32,
    width: u32,
    head_size: u32,
    blocks: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> qkv: array<f32>;

fn scale() -> f32 { return p.scale; }
fn size() -> u32 { return p.head_size; }

fn query(block: Block, row: u32, e: u32) -> f32 {
    return qkv[(block.first + row) * 3u * p.width + block.head * p.head_size + e];
}

fn key_base(block: Block, key: u32) -> u32 {
    return (block.sequence * p.rows + key) * 3u * p.width + p.width + block.head * p.head_size;
}

fn key_at(base: u32, e: u32) -> f32 { return qkv[base + e]; }
fn value_at(base: u32, e: u32) -> f32 { return qkv[base + p.width + e]; }

fn keys_of(block: Block, row: u32) -> u32 { return p.rows; }

fn store(block: Block, row: u32, e: u32, value: f32) {
    result[(block.first + row) * p.width + block.head * p.head_size + e] = value;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    var block: Block;
    let start = (group_id.x % p.blocks) * 16u;
    block.sequence = group_id.x / p.blocks;
    block.first = block.sequence * p.rows + start;
    block.count = min(16u, p.rows - start);
    block.head = group_id.y;
    block.kv_head = group_id.y;
    block.columns = group_id.z * 128u;
    block.keys = p.rows;
    run(block, thread);
}
