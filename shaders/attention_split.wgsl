// Attention of single rows (decode), split over the keys: each workgroup does one row, one head and one run of keys.
//
// With one split the result is written; with several their sums, to be joined by attention_combine.
// Workgroups of 64 threads: x = rows times heads, y = splits, z = columns / 128.

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
    // Number of splits and keys of each, a multiple of 64.
    splits: u32,
    split_keys: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [rows, heads, d]; with several splits [rows, heads, splits, d + 2]: sums, largest score, sum of exponentials.
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> queries: array<f32>;
@group(1) @binding(2) var<storage, read> inputs: array<u32>;
@group(1) @binding(3) var<storage, read> keys: array<u32>;
@group(1) @binding(4) var<storage, read> values: array<u32>;

const LOWEST: f32 = -3.0e38;

var<workgroup> bases: array<u32, 64>;
var<workgroup> parts: array<f32, 512>;
var<workgroup> weights: array<f32, 64>;
var<workgroup> terms: array<f32, 64>;

// Elements e and e + 1 of a row that begins at `base`; e is even. In 8 bits they are integers without their factor.
@if(f32) fn key_pair(base: u32, e: u32) -> vec2<f32> {
    return vec2(bitcast<f32>(keys[base + e]), bitcast<f32>(keys[base + e + 1u]));
}
@if(f32) fn value_pair(base: u32, e: u32) -> vec2<f32> {
    return vec2(bitcast<f32>(values[base + e]), bitcast<f32>(values[base + e + 1u]));
}
@if(bf16) fn key_pair(base: u32, e: u32) -> vec2<f32> {
    let word = keys[(base + e) / 2u];
    return vec2(bf16_low(word), bf16_high(word));
}
@if(bf16) fn value_pair(base: u32, e: u32) -> vec2<f32> {
    let word = values[(base + e) / 2u];
    return vec2(bf16_low(word), bf16_high(word));
}
@if(i8) fn key_pair(base: u32, e: u32) -> vec2<f32> { return two_integers(keys[base + 1u + e / 4u], e); }
@if(i8) fn value_pair(base: u32, e: u32) -> vec2<f32> { return two_integers(values[base + 1u + e / 4u], e); }

// Words or elements of a row.
fn row_size() -> u32 {
    @if(i8) {
        return record_words(p.head_size);
    } @else {
        return p.head_size;
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let d = p.head_size;
    let row = group_id.x / p.query_heads;
    let head = group_id.x % p.query_heads;
    let kv_head = head / (p.query_heads / p.kv_heads);
    let position = inputs[p.row_info + row * 4u + 2u];
    let table = p.pages + inputs[p.row_info + row * 4u + 3u] * p.pages_per_sequence;
    let query = group_id.x * d;
    let columns = group_id.z * 128u + thread * 2u;
    let end = min((group_id.y + 1u) * p.split_keys, position + 1u);
    var sums = vec2(0.0);
    var largest = LOWEST;
    var total = 0.0;
    for (var start = group_id.y * p.split_keys; start < end; start += 64u) {
        let present = min(64u, end - start);
        workgroupBarrier();
        let key = start + min(thread, present - 1u);
        bases[thread] = ((inputs[table + key / 16u] * 16u + key % 16u) * p.kv_heads + kv_head) * row_size();
        workgroupBarrier();
        // Eight lanes a key.
        for (var i = thread / 8u; i < 64u; i += 8u) {
            var part = 0.0;
            for (var e = (thread % 8u) * 2u; e < d; e += 16u) {
                part += dot(vec2(queries[query + e], queries[query + e + 1u]), key_pair(bases[i], e));
            }
            parts[i * 8u + thread % 8u] = part;
        }
        workgroupBarrier();
        var score = 0.0;
        for (var i = 0u; i < 8u; i++) {
            score += parts[thread * 8u + i];
        }
        score *= p.scale;
        @if(i8) {
            score *= bitcast<f32>(keys[bases[thread]]);
        }
        terms[thread] = select(LOWEST, score, thread < present);
        for (var half = 32u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if thread < half {
                terms[thread] = max(terms[thread], terms[thread + half]);
            }
        }
        workgroupBarrier();
        let most = max(largest, terms[0]);
        let weight = select(0.0, exp(score - most), thread < present);
        weights[thread] = weight;
        @if(i8) {
            weights[thread] = weight * bitcast<f32>(values[bases[thread]]);
        }
        workgroupBarrier();
        terms[thread] = weight;
        for (var half = 32u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if thread < half {
                terms[thread] += terms[thread + half];
            }
        }
        workgroupBarrier();
        let shrink = exp(largest - most);
        largest = most;
        total = total * shrink + terms[0];
        sums *= shrink;
        if columns < d {
            for (var i = 0u; i < present; i++) {
                sums += weights[i] * value_pair(bases[i], columns);
            }
        }
    }
    if p.splits == 1u {
        if columns < d {
            result[query + columns] = sums.x / total;
            result[query + columns + 1u] = sums.y / total;
        }
        return;
    }
    let at = (group_id.x * p.splits + group_id.y) * (d + 2u);
    if columns < d {
        result[at + columns] = sums.x;
        result[at + columns + 1u] = sums.y;
    }
    if columns == 0u {
        result[at + d] = largest;
        result[at + d + 1u] = total;
    }
}
