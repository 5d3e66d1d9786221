// Rotates queries and keys and writes keys and values into the KV pool. A thread does two neighbouring elements of a head; in 8
// bits a workgroup does a head, whose largest element gives the factor of its integers.

@if(!i8) import package::shared::grid::thread_number;
@if(i8) import package::shared::grid::group_number;
@if(!i8) import package::shared::math::bf16_pair;
@if(i8) import package::shared::eight::{record_words, pack};
import package::shared::heads::{slot_of, QUERY, KEY, VALUE};

struct Params {
    // Of all rows together: pairs of elements, or in 8 bits heads (those of queries, keys and values).
    count: u32,
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

@if(!i8) @compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = thread_number(group_id, groups, thread);
    if i >= p.count {
        return;
    }
    let d = p.head_size;
    let slots = p.query_heads + 2u * p.kv_heads;
    let row = i / (slots * d / 2u);
    let number = (i / (d / 2u)) % slots;
    let slot = slot_of(number, p.query_heads, p.kv_heads, p.concatenated == 1u);
    let e = (i % (d / 2u)) * 2u;
    let source = (row * slots + number) * d;
    var out = vec2(qkv[source + e], qkv[source + e + 1u]);
    if slot.part != VALUE {
        let angles = p.rope + row * d;
        out = vec2(rotated(source, angles, e), rotated(source, angles, e + 1u));
    }
    if slot.part == QUERY {
        let at = (row * p.query_heads + slot.head) * d + e;
        result[at] = out.x;
        result[at + 1u] = out.y;
        return;
    }
    let at = (inputs[p.row_info + row * 4u + 1u] * p.kv_heads + slot.head) * d + e;
    if slot.part == KEY {
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

@if(i8) var<workgroup> magnitudes: array<u32, 64>;

// Element e of a key or value.
@if(i8) fn element_of(part: u32, head: u32, angles: u32, e: u32) -> f32 {
    if part == VALUE {
        return qkv[head + e];
    }
    return rotated(head, angles, e);
}

@if(i8) fn store(part: u32, at: u32, word: u32) {
    if part == KEY {
        keys[at] = word;
    } else {
        values[at] = word;
    }
}

@if(i8) @compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group_id: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = group_number(group_id, groups);
    if i >= p.count {
        return;
    }
    let d = p.head_size;
    let slots = p.query_heads + 2u * p.kv_heads;
    let row = i / slots;
    let slot = slot_of(i % slots, p.query_heads, p.kv_heads, p.concatenated == 1u);
    let source = i * d;
    let angles = p.rope + row * d;
    if slot.part == QUERY {
        let at = (row * p.query_heads + slot.head) * d;
        for (var e = thread; e < d; e += 64u) {
            result[at + e] = rotated(source, angles, e);
        }
        return;
    }
    // The bits of magnitudes are in their order, with NaN above infinity: nothing that is not finite is passed over.
    var most = 0u;
    for (var e = thread; e < d; e += 64u) {
        most = max(most, bitcast<u32>(element_of(slot.part, source, angles, e)) & 0x7fffffffu);
    }
    magnitudes[thread] = most;
    for (var half = 32u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            magnitudes[thread] = max(magnitudes[thread], magnitudes[thread + half]);
        }
    }
    workgroupBarrier();
    let largest = bitcast<f32>(magnitudes[0]);
    let inverse = select(0.0, 127.0 / largest, largest > 0.0);
    let record = (inputs[p.row_info + row * 4u + 1u] * p.kv_heads + slot.head) * record_words(d);
    if thread == 0u {
        store(slot.part, record, bitcast<u32>(largest / 127.0));
    }
    for (var word = thread; word < record_words(d) - 1u; word += 64u) {
        var four = vec4(0.0);
        for (var j = 0u; j < 4u; j++) {
            let e = word * 4u + j;
            if e < d {
                four[j] = element_of(slot.part, source, angles, e) * inverse;
            }
        }
        store(slot.part, record + 1u + word, pack(four));
    }
}
