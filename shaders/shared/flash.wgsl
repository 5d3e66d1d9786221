// Attention of up to 16 query rows over tiles of 32 keys with an online softmax; 128 threads, eight of them a query row.
//
// The operator says where queries, keys and values lie. A workgroup computes 128 columns of the result; heads wider than that take
// several workgroups, each with all of the scores.

@if(attention) import package::attention::{scale, size, query, key_base, key_at, value_at, keys_of, store};
@if(tile_attention) import package::tile_attention::{scale, size, query, key_base, key_at, value_at, keys_of, store};

struct Block {
    // First row and number of rows.
    first: u32,
    count: u32,
    head: u32,
    kv_head: u32,
    // Sequence, or tile.
    sequence: u32,
    // First column of the result within the head.
    columns: u32,
    // Keys that any of the rows attends to.
    keys: u32,
}

const LOWEST: f32 = -3.0e38;

var<workgroup> tile_q: array<f32, 512>;
var<workgroup> tile_k: array<f32, 1056>;
var<workgroup> tile_v: array<f32, 1024>;
var<workgroup> bases: array<u32, 32>;
var<workgroup> scores: array<f32, 512>;
// Of each row: largest score, sum of the exponentials, and the factor for what was summed before.
var<workgroup> largest: array<f32, 16>;
var<workgroup> total: array<f32, 16>;
var<workgroup> factor: array<f32, 16>;

fn run(block: Block, thread: u32) {
    let d = size();
    let row = thread / 8u;
    let lane = thread % 8u;
    let my_keys = select(0u, keys_of(block, min(row, block.count - 1u)), row < block.count);
    var sums: array<f32, 16>;
    if thread < 16u {
        largest[thread] = LOWEST;
        total[thread] = 0.0;
    }
    for (var start = 0u; start < block.keys; start += 32u) {
        let present = min(32u, block.keys - start);
        workgroupBarrier();
        if thread < 32u {
            bases[thread] = key_base(block, start + min(thread, present - 1u));
        }
        var s0 = 0.0;
        var s1 = 0.0;
        var s2 = 0.0;
        var s3 = 0.0;
        for (var e = 0u; e < d; e += 32u) {
            workgroupBarrier();
            for (var i = thread; i < 512u; i += 128u) {
                let r = i / 32u;
                let column = e + i % 32u;
                var v = 0.0;
                if r < block.count && column < d {
                    v = query(block, r, column);
                }
                tile_q[i] = v;
            }
            for (var i = thread; i < 1024u; i += 128u) {
                let column = e + i % 32u;
                var v = 0.0;
                if column < d {
                    v = key_at(bases[i / 32u], column);
                }
                // A stride of 33 keeps the eight lanes of a row on different banks.
                tile_k[(i / 32u) * 33u + i % 32u] = v;
            }
            workgroupBarrier();
            for (var i = 0u; i < 32u; i++) {
                let q = tile_q[row * 32u + i];
                s0 += q * tile_k[lane * 33u + i];
                s1 += q * tile_k[(lane + 8u) * 33u + i];
                s2 += q * tile_k[(lane + 16u) * 33u + i];
                s3 += q * tile_k[(lane + 24u) * 33u + i];
            }
        }
        let at = row * 32u + lane;
        scores[at] = s0 * scale();
        scores[at + 8u] = s1 * scale();
        scores[at + 16u] = s2 * scale();
        scores[at + 24u] = s3 * scale();
        workgroupBarrier();
        // One lane a row: the new largest score, the exponentials in place of the scores, zeros where a key is hidden.
        if lane == 0u {
            let seen = min(present, select(0u, my_keys - start, my_keys > start));
            let before = largest[row];
            var most = before;
            for (var i = 0u; i < seen; i++) {
                most = max(most, scores[row * 32u + i]);
            }
            let shrink = exp(before - most);
            var sum = total[row] * shrink;
            for (var i = 0u; i < 32u; i++) {
                var weight = 0.0;
                if i < seen {
                    weight = exp(scores[row * 32u + i] - most);
                }
                scores[row * 32u + i] = weight;
                sum += weight;
            }
            largest[row] = most;
            total[row] = sum;
            factor[row] = shrink;
        }
        workgroupBarrier();
        let shrink = factor[row];
        for (var j = 0u; j < 16u; j++) {
            sums[j] *= shrink;
        }
        for (var first = 0u; first < present; first += 8u) {
            workgroupBarrier();
            for (var i = thread; i < 1024u; i += 128u) {
                let key = first + i / 128u;
                let column = block.columns + i % 128u;
                var v = 0.0;
                if key < present && column < d {
                    v = value_at(bases[key], column);
                }
                tile_v[i] = v;
            }
            workgroupBarrier();
            for (var i = 0u; i < 8u; i++) {
                let weight = scores[row * 32u + first + i];
                for (var j = 0u; j < 16u; j++) {
                    sums[j] += weight * tile_v[i * 128u + j * 8u + lane];
                }
            }
        }
    }
    workgroupBarrier();
    if row < block.count {
        for (var j = 0u; j < 16u; j++) {
            let e = block.columns + j * 8u + lane;
            if e < d {
                store(block, row, e, sums[j] / total[row]);
            }
        }
    }
}
