// RMSNorm, (routed) qkv projection, RoPE and KV write in one. Heads of a size that 4 divides; others take linear and rope.
//
// A quad is two neighbouring columns of a head's first half and the two that rotate with them in its second half.

import package::shared::heads::{slot_of, QUERY, KEY, VALUE};
import package::shared::math::bf16_pair;
import package::shared::project::{p, result, inputs, keys, values, bias_of};
@if(few) import package::shared::project_few::{run, THREADS};
@if(many) import package::shared::project_many::{run, THREADS};
@if(lanes) import package::shared::project_lanes::run;
@if(matrix) import package::shared::project_matrix::run;

fn quads() -> u32 {
    return (p.query_heads + 2u * p.kv_heads) * (p.head_size / 4u);
}

fn quad_rows(quad: u32) -> vec4<u32> {
    let per_head = p.head_size / 4u;
    let head = min(quad / per_head, p.query_heads + 2u * p.kv_heads - 1u);
    let first = head * p.head_size + (quad % per_head) * 2u;
    return vec4(first) + vec4(0u, 1u, p.head_size / 2u, p.head_size / 2u + 1u);
}

fn store_quad(row: u32, quad: u32, sums: vec4<f32>, is_visual: bool) {
    let d = p.head_size;
    let per_head = d / 4u;
    let slot = slot_of(quad / per_head, p.query_heads, p.kv_heads, p.concatenated == 1u);
    let e = (quad % per_head) * 2u;
    let columns = quad_rows(quad);
    let y = sums + vec4(
        bias_of(is_visual, columns.x),
        bias_of(is_visual, columns.y),
        bias_of(is_visual, columns.z),
        bias_of(is_visual, columns.w),
    );
    var out = y;
    if slot.part != VALUE {
        let at = p.rope + row * d + e;
        let cosine = vec2(bitcast<f32>(inputs[at]), bitcast<f32>(inputs[at + 1u]));
        let sine = vec2(bitcast<f32>(inputs[at + d / 2u]), bitcast<f32>(inputs[at + d / 2u + 1u]));
        out = vec4(y.xy * cosine - y.zw * sine, y.zw * cosine + y.xy * sine);
    }
    if slot.part == QUERY {
        let at = (row * p.query_heads + slot.head) * d + e;
        result[at] = out.x;
        result[at + 1u] = out.y;
        result[at + d / 2u] = out.z;
        result[at + d / 2u + 1u] = out.w;
        return;
    }
    let kv_slot = inputs[p.row_info + row * 4u + 1u];
    let at = (kv_slot * p.kv_heads + slot.head) * d + e;
    if slot.part == KEY {
        if p.kv_bf16 == 1u {
            keys[at / 2u] = bf16_pair(out.x, out.y);
            keys[at / 2u + d / 4u] = bf16_pair(out.z, out.w);
        } else {
            keys[at] = bitcast<u32>(out.x);
            keys[at + 1u] = bitcast<u32>(out.y);
            keys[at + d / 2u] = bitcast<u32>(out.z);
            keys[at + d / 2u + 1u] = bitcast<u32>(out.w);
        }
    } else if p.kv_bf16 == 1u {
        values[at / 2u] = bf16_pair(out.x, out.y);
        values[at / 2u + d / 4u] = bf16_pair(out.z, out.w);
    } else {
        values[at] = bitcast<u32>(out.x);
        values[at + 1u] = bitcast<u32>(out.y);
        values[at + d / 2u] = bitcast<u32>(out.z);
        values[at + d / 2u + 1u] = bitcast<u32>(out.w);
    }
}

// Threads of a workgroup: as many subgroups as project_matrix has work for.
@if(matrix) @id(0) override THREADS: u32 = 64u;

@if(few || many) @compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    run(group_id, thread, quads());
}

@if(lanes) @compute @workgroup_size(32)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    run(group_id, thread, lane, quads());
}

@if(matrix) @compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_size) size: u32,
) {
    run(group_id, thread, THREADS, size, quads());
}
