// Chooses the next token of a sampled row: one workgroup of 256 threads a row. Workgroups: x = samples.
//
// Thresholds are found by bisection on the ordered bits of the logits: 32 passes, no sorting.

import package::shared::math::{ln, atanh_series};

struct Params {
    vocab: u32,
    // Words of `sampling` and `seen` in `inputs`, words of a row of `seen`.
    sampling: u32,
    seen: u32,
    seen_words: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(1) @binding(0) var<storage, read_write> result: array<u32>;
@group(1) @binding(1) var<storage, read> logits: array<u32>;
@group(1) @binding(2) var<storage, read> inputs: array<u32>;

const NO_TOKEN: u32 = 0xffffffffu;

var<workgroup> best_key: array<u32, 256>;
var<workgroup> best_id: array<u32, 256>;
var<workgroup> counts: array<u32, 256>;
var<workgroup> masses: array<f32, 256>;

struct Row {
    base: u32,
    seen: u32,
    penalty: f32,
    temperature: f32,
}

// Greater float, greater word; the two zeros are one.
fn ordered(v: f32) -> u32 {
    var bits = bitcast<u32>(v);
    if bits == 0x80000000u {
        bits = 0u;
    }
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}


fn logit(row: Row, token: u32) -> f32 {
    var l = bitcast<f32>(logits[row.base + token]);
    if row.penalty != 1.0 && ((inputs[row.seen + token / 32u] >> (token % 32u)) & 1u) == 1u {
        l = select(l * row.penalty, l / row.penalty, l > 0.0);
    }
    if row.temperature > 0.0 {
        l /= row.temperature;
    }
    return l;
}

fn pcg(v: u32) -> u32 {
    let state = v * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// exp(l - most), also where both are infinite.
fn weight(l: f32, most: f32) -> f32 {
    if l == most {
        return 1.0;
    }
    return exp(l - most);
}

// −ln(−ln(u)), u = (hash + 0.5) / 2³². Where u is near 1 it is taken as 1 − v, since there f32 and the built-in logarithm are too
// coarse, and those are the tokens that win.
fn gumbel(hash: u32) -> f32 {
    if hash < 0xb0000000u {
        return -ln(-ln((f32(hash) + 0.5) / 4294967296.0));
    }
    let v = (f32(~hash) + 0.5) / 4294967296.0;
    return -ln(-2.0 * atanh_series(-v / (2.0 - v)));
}

// Sum of every thread's value, the same for all.
fn count(thread: u32, value: u32) -> u32 {
    workgroupBarrier();
    counts[thread] = value;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            counts[thread] += counts[thread + half];
        }
    }
    return workgroupUniformLoad(&counts[0]);
}

fn mass(thread: u32, value: f32) -> f32 {
    workgroupBarrier();
    masses[thread] = value;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            masses[thread] += masses[thread + half];
        }
    }
    return workgroupUniformLoad(&masses[0]);
}

// The id with the greatest key, the lowest id on ties.
fn best(thread: u32, key: u32, id: u32) -> u32 {
    workgroupBarrier();
    best_key[thread] = key;
    best_id[thread] = id;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            let key_b = best_key[thread + half];
            let id_b = best_id[thread + half];
            if key_b > best_key[thread] || (key_b == best_key[thread] && id_b < best_id[thread]) {
                best_key[thread] = key_b;
                best_id[thread] = id_b;
            }
        }
    }
    return workgroupUniformLoad(&best_id[0]);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group_id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let sample = p.first + group_id.x;
    let settings = p.sampling + sample * 8u;
    var row: Row;
    row.base = sample * p.vocab;
    row.seen = p.seen + sample * p.seen_words;
    row.temperature = bitcast<f32>(inputs[settings]);
    row.penalty = bitcast<f32>(inputs[settings + 2u]);
    let top_p = bitcast<f32>(inputs[settings + 1u]);
    let top_k = inputs[settings + 3u];

    var bad = 0u;
    var finite = 0u;
    var top_key = 0u;
    var top_id = NO_TOKEN;
    for (var t = thread; t < p.vocab; t += 256u) {
        let bits = logits[row.base + t] & 0x7fffffffu;
        bad |= select(0u, 1u, bits > 0x7f800000u);
        finite |= select(0u, 1u, bits < 0x7f800000u);
        let key = ordered(logit(row, t));
        if key > top_key {
            top_key = key;
            top_id = t;
        }
    }
    let any_bad = count(thread, bad);
    let any_finite = count(thread, finite);
    if any_bad > 0u || any_finite == 0u {
        if thread == 0u {
            result[sample] = NO_TOKEN;
        }
        return;
    }
    let greedy = best(thread, top_key, top_id);
    if row.temperature <= 0.0 {
        if thread == 0u {
            result[sample] = greedy;
        }
        return;
    }

    // The least key that is kept.
    var least = 0u;
    if top_k > 0u && top_k < p.vocab {
        for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
            let trial = least | bit;
            var n = 0u;
            for (var t = thread; t < p.vocab; t += 256u) {
                n += select(0u, 1u, ordered(logit(row, t)) >= trial);
            }
            if count(thread, n) >= top_k {
                least = trial;
            }
        }
    }
    if top_p < 1.0 {
        let most = logit(row, greedy);
        let kept = least;
        var part = 0.0;
        for (var t = thread; t < p.vocab; t += 256u) {
            let l = logit(row, t);
            if ordered(l) >= kept {
                part += weight(l, most);
            }
        }
        let wanted = top_p * mass(thread, part);
        least = 0u;
        for (var bit = 0x80000000u; bit > 0u; bit >>= 1u) {
            let trial = least | bit;
            part = 0.0;
            for (var t = thread; t < p.vocab; t += 256u) {
                let l = logit(row, t);
                if ordered(l) >= max(trial, kept) {
                    part += weight(l, most);
                }
            }
            if mass(thread, part) >= wanted {
                least = trial;
            }
        }
        least = max(least, kept);
    }

    let seed = pcg(pcg(pcg(inputs[settings + 4u]) ^ inputs[settings + 5u]) ^ inputs[settings + 6u]);
    top_key = 0u;
    top_id = NO_TOKEN;
    for (var t = thread; t < p.vocab; t += 256u) {
        let l = logit(row, t);
        if ordered(l) >= least {
            let key = ordered(l + gumbel(pcg(seed ^ t)));
            if key > top_key {
                top_key = key;
                top_id = t;
            }
        }
    }
    let chosen = best(thread, top_key, top_id);
    if thread == 0u {
        result[sample] = chosen;
    }
}
