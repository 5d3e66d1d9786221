// Rotates queries and keys and writes keys and values into the KV pool. A thread does two neighbouring elements of a head.

import package::shared::grid::thread_number;
import package::shared::math::bf16_pair;

struct Params {
    // Rows times half the width of a qkv row.
    pairs: u32,
    query_heads: u32,
    kv_heads: u32,
    head_size: u32,
    concatenated: u32,
    kv_bf16: u32,
    row_info: u32,
    rope: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> qkv: array<f32>;
@group(1) @binding(2) var<storage, read> inputs: array<u32>;
@group(1) @binding(3) var<storage, read_write> keys: array<u32>;
@group(1) @binding(4) var<storage, read_write> values: array<u32>;

// Element e of the head that begins at `head`, rotated.
fn rotated(head: u32, angles: u32, e: u32) -> f32 {
    let half = p.head_size / 2u;
    let lower = e < half;
    let pair = select(e - half, e, lower);
    let cosine = bitcast<f32>(inputs[angles + pair]);
    let sine = bitcast<f32>(inputs[angles + half + pair]);
    let other = qkv[head + select(pair, e + half, lower)];
    return qkv[head + e] * cosine + select(other, -other, lower) * sine;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = thread_number(group_id, groups, thread);
    if i >= p.pairs {
        return;
    }
    let d = p.head_size;
    let slots = p.query_heads + 2u * p.kv_heads;
    let row = i / (slots * d / 2u);
    let slot = (i / (d / 2u)) % slots;
    let e = (i % (d / 2u)) * 2u;
    let group = p.query_heads / p.kv_heads;
    var kind = 0u;
    var head = slot;
    if p.concatenated == 1u {
        if slot >= p.query_heads {
            kind = 1u + (slot - p.query_heads) / p.kv_heads;
            head = (slot - p.query_heads) % p.kv_heads;
        }
    } else {
        let within = slot % (group + 2u);
        head = slot / (group + 2u);
        if within < group {
            head = head * group + within;
        } else {
            kind = 1u + within - group;
        }
    }
    let source = (row * slots + slot) * d;
    var out = vec2(qkv[source + e], qkv[source + e + 1u]);
    if kind < 2u {
        let angles = p.rope + row * d;
        out = vec2(rotated(source, angles, e), rotated(source, angles, e + 1u));
    }
    if kind == 0u {
        let at = (row * p.query_heads + head) * d + e;
        result[at] = out.x;
        result[at + 1u] = out.y;
        return;
    }
    let at = (inputs[p.row_info + row * 4u + 1u] * p.kv_heads + head) * d + e;
    if kind == 1u {
        if p.kv_bf16 == 1u {
            keys[at / 2u] = bf16_pair(out.x, out.y);
        } else {
            keys[at] = bitcast<u32>(out.x);
            keys[at + 1u] = bitcast<u32>(out.y);
        }
    } else if p.kv_bf16 == 1u {
        values[at / 2u] = bf16_pair(out.x, out.y);
    } else {
        values[at] = bitcast<u32>(out.x);
        values[at + 1u] = bitcast<u32>(out.y);
    }
}
