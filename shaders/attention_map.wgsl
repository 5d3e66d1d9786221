// The softmax probabilities of attention, averaged over the query heads. One workgroup of 64 threads a row; a thread has every
// 64th key to itself. Workgroups: x = rows.

@if(bf16) import package::shared::math::{bf16_low, bf16_high};
@if(i8) import package::shared::eight::{record_words, two_integers};

struct Params {
    query_heads: u32,
    kv_heads: u32,
    head_size: u32,
    scale: f32,
    row_info: u32,
    pages: u32,
    pages_per_sequence: u32,
    context: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> queries: array<f32>;
@group(1) @binding(2) var<storage, read> inputs: array<u32>;
@group(1) @binding(3) var<storage, read> keys: array<u32>;

var<workgroup> terms: array<f32, 64>;

// Elements e and e + 1 of head number `head` of the pool; e is even. In 8 bits they are integers without their factor.
@if(f32) fn key_pair(head: u32, e: u32) -> vec2<f32> {
    let at = head * p.head_size + e;
    return vec2(bitcast<f32>(keys[at]), bitcast<f32>(keys[at + 1u]));
}
@if(bf16) fn key_pair(head: u32, e: u32) -> vec2<f32> {
    let word = keys[(head * p.head_size + e) / 2u];
    return vec2(bf16_low(word), bf16_high(word));
}
@if(i8) fn key_pair(head: u32, e: u32) -> vec2<f32> {
    return two_integers(keys[head * record_words(p.head_size) + 1u + e / 4u], e);
}

fn score(query: u32, table: u32, kv_head: u32, key: u32) -> f32 {
    let head = (inputs[table + key / 16u] * 16u + key % 16u) * p.kv_heads + kv_head;
    var sum = 0.0;
    for (var e = 0u; e < p.head_size; e += 2u) {
        sum += dot(vec2(queries[query + e], queries[query + e + 1u]), key_pair(head, e));
    }
    @if(i8) {
        sum *= bitcast<f32>(keys[head * record_words(p.head_size)]);
    }
    return sum * p.scale;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = p.first + group_id.x;
    let seen = inputs[p.row_info + row * 4u + 2u] + 1u;
    let table = p.pages + inputs[p.row_info + row * 4u + 3u] * p.pages_per_sequence;
    let base = row * p.context;
    for (var key = thread; key < p.context; key += 64u) {
        result[base + key] = 0.0;
    }
    for (var head = 0u; head < p.query_heads; head++) {
        let query = (row * p.query_heads + head) * p.head_size;
        let kv_head = head / (p.query_heads / p.kv_heads);
        var most = -3.0e38;
        for (var key = thread; key < seen; key += 64u) {
            most = max(most, score(query, table, kv_head, key));
        }
        workgroupBarrier();
        terms[thread] = most;
        for (var half = 32u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if thread < half {
                terms[thread] = max(terms[thread], terms[thread + half]);
            }
        }
        workgroupBarrier();
        let largest = terms[0];
        workgroupBarrier();
        var sum = 0.0;
        for (var key = thread; key < seen; key += 64u) {
            sum += exp(score(query, table, kv_head, key) - largest);
        }
        terms[thread] = sum;
        for (var half = 32u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if thread < half {
                terms[thread] += terms[thread + half];
            }
        }
        workgroupBarrier();
        let total = terms[0] * f32(p.query_heads);
        for (var key = thread; key < min(seen, p.context); key += 64u) {
            result[base + key] += exp(score(query, table, kv_head, key) - largest) / total;
        }
    }
}
