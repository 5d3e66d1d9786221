// Causal attention over the paged KV cache for blocks of up to 16 rows of one sequence (prefill), with an online softmax.
//
// A workgroup of 128 threads does one query block, one head and 128 columns of the result; it walks over the keys in tiles of 32.
// Workgroups: x = query blocks, y = heads, z = columns / 128.

@if(bf16) import package::shared::math::{bf16_low, bf16_high};
@if(i8) import package::shared::eight::{record_words, integer};
import package::shared::flash::{Block, run};

struct Params {
    query_heads: u32,
    kv_heads: u32,
    head_size: u32,
    scale: f32,
    // Words of `rows`, `page_table`, `query_blocks` in `inputs`; width of the page table.
    row_info: u32,
    pages: u32,
    blocks: u32,
    pages_per_sequence: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> queries: array<f32>;
@group(1) @binding(2) var<storage, read> inputs: array<u32>;
@group(1) @binding(3) var<storage, read> keys: array<u32>;
@group(1) @binding(4) var<storage, read> values: array<u32>;

fn scale() -> f32 { return p.scale; }
fn size() -> u32 { return p.head_size; }

fn query(block: Block, row: u32, e: u32) -> f32 {
    return queries[((block.first + row) * p.query_heads + block.head) * p.head_size + e];
}

// Where a key's row begins, in elements, or in 8 bits in words.
fn key_base(block: Block, key: u32) -> u32 {
    let page = inputs[p.pages + block.sequence * p.pages_per_sequence + key / 16u];
    let head = (page * 16u + key % 16u) * p.kv_heads + block.kv_head;
    @if(i8) {
        return head * record_words(p.head_size);
    } @else {
        return head * p.head_size;
    }
}

@if(f32) fn key_at(base: u32, e: u32) -> f32 { return bitcast<f32>(keys[base + e]); }
@if(f32) fn value_at(base: u32, e: u32) -> f32 { return bitcast<f32>(values[base + e]); }
@if(bf16) fn key_at(base: u32, e: u32) -> f32 {
    let word = keys[(base + e) / 2u];
    return select(bf16_high(word), bf16_low(word), (base + e) % 2u == 0u);
}
@if(bf16) fn value_at(base: u32, e: u32) -> f32 {
    let word = values[(base + e) / 2u];
    return select(bf16_high(word), bf16_low(word), (base + e) % 2u == 0u);
}
@if(i8) fn key_at(base: u32, e: u32) -> f32 {
    return bitcast<f32>(keys[base]) * integer(keys[base + 1u + e / 4u], e);
}
@if(i8) fn value_at(base: u32, e: u32) -> f32 {
    return bitcast<f32>(values[base]) * integer(values[base + 1u + e / 4u], e);
}

// How many keys a row of the block attends to.
fn keys_of(block: Block, row: u32) -> u32 {
    return inputs[p.row_info + (block.first + row) * 4u + 2u] + 1u;
}

fn store(block: Block, row: u32, e: u32, value: f32) {
    result[((block.first + row) * p.query_heads + block.head) * p.head_size + e] = value;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    var block: Block;
    block.first = inputs[p.blocks + group_id.x * 2u];
    block.count = min(inputs[p.blocks + group_id.x * 2u + 1u], 16u);
    block.head = group_id.y;
    block.kv_head = group_id.y / (p.query_heads / p.kv_heads);
    block.sequence = inputs[p.row_info + block.first * 4u + 3u];
    block.columns = group_id.z * 128u;
    block.keys = 0u;
    for (var r = 0u; r < block.count; r++) {
        block.keys = max(block.keys, keys_of(block, r));
    }
    run(block, thread);
}
