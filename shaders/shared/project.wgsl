// What the projections (linear, gate_up, qkv_rope) share: parameters, buffers and the loading of rows and weights.
//
// A weight row is `eights` times eight elements, padded with zeros. Weights are read in *chunks*: a vec4 of 16-bit pairs, of 16
// integers of 8 bits (q8) or of 32 of 4 bits (q4), or two vec4 of f32. Behind its rows of integers a buffer has the factors
// (scales) of their groups, row by row. A *quad* is the four weight rows that one thread computes together; each operator says
// which four they are.

import package::shared::element::{element, word_of, four_integers};

struct Project {
    rows: u32,
    inner: u32,
    eights: u32,
    // Weight rows in this part, the first of them in the whole weight, and the width of an output row.
    part_rows: u32,
    part_first: u32,
    width: u32,
    // Words of `routing` in `inputs`.
    routing: u32,
    // Bit 0: the text expert is an identity; bit 1: the visual expert is.
    identity: u32,
    // Offsets in `vectors`, NONE if there is no such vector.
    norm: u32,
    eps: f32,
    bias_text: u32,
    bias_visual: u32,
    scale: u32,
    // 1: GELU of the result.
    gelu: u32,
    // 1: add to the residual.
    residual: u32,
    // qkv_rope only: words of `rows` and `rope` in `inputs`.
    row_info: u32,
    rope: u32,
    query_heads: u32,
    kv_heads: u32,
    head_size: u32,
    // 1: all queries, all keys, all values; 0: grouped by kv head.
    concatenated: u32,
    // 1: keys and values are stored as bf16.
    kv_bf16: u32,
    // Whether inner is a multiple of 4.
    aligned: u32,
    // Integers only: elements in a group, groups in a row, the word where the scales begin, their type (element.wgsl).
    group: u32,
    groups: u32,
    scales: u32,
    scale_type: u32,
}

const NONE: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> p: Project;
@group(1) @binding(0) var<storage, read_write> result: array<f32>;
@group(1) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(1) @binding(2) var<storage, read> vectors: array<f32>;
@group(1) @binding(3) var<storage, read> inputs: array<u32>;
@group(1) @binding(4) var<storage, read> text: array<vec4<u32>>;
@group(1) @binding(5) var<storage, read> visual: array<vec4<u32>>;
@if(gate_up) @group(1) @binding(6) var<storage, read> text_up: array<vec4<u32>>;
@if(gate_up) @group(1) @binding(7) var<storage, read> visual_up: array<vec4<u32>>;
@if(linear) @group(1) @binding(6) var<storage, read> residual: array<f32>;
@if(qkv_rope) @group(1) @binding(6) var<storage, read_write> keys: array<u32>;
@if(qkv_rope) @group(1) @binding(7) var<storage, read_write> values: array<u32>;

struct Eight {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

// Eights in a chunk.
@if(q4) const EIGHTS: u32 = 4u;
@if(q8) const EIGHTS: u32 = 2u;
@if(!q4 && !q8) const EIGHTS: u32 = 1u;

struct Chunk {
    words: vec4<u32>,
    @if(f32) more: vec4<u32>,
    @if(q4 || q8) scale: f32,
}

// The number of the scale of a chunk.
@if(q4 || q8) fn scale_number(row: u32, chunk: u32) -> u32 {
    return row * p.groups + chunk * 8u * EIGHTS / p.group;
}

// And the word that holds it.
@if(q4 || q8) fn scale_word(number: u32) -> u32 {
    return p.scales + word_of(p.scale_type, number);
}

fn chunk_text(row: u32, chunk: u32) -> Chunk {
    let at = row * (p.eights / EIGHTS) + chunk;
    @if(q4 || q8) {
        let number = scale_number(row, chunk);
        let word = scale_word(number);
        return Chunk(text[at], element(p.scale_type, text[word / 4u][word % 4u], number));
    }
    @if(f32) {
        return Chunk(text[2u * at], text[2u * at + 1u]);
    }
    @if(bf16 || f16) {
        return Chunk(text[at]);
    }
}

fn chunk_visual(row: u32, chunk: u32) -> Chunk {
    let at = row * (p.eights / EIGHTS) + chunk;
    @if(q4 || q8) {
        let number = scale_number(row, chunk);
        let word = scale_word(number);
        return Chunk(visual[at], element(p.scale_type, visual[word / 4u][word % 4u], number));
    }
    @if(f32) {
        return Chunk(visual[2u * at], visual[2u * at + 1u]);
    }
    @if(bf16 || f16) {
        return Chunk(visual[at]);
    }
}

@if(gate_up) fn chunk_text_up(row: u32, chunk: u32) -> Chunk {
    let at = row * (p.eights / EIGHTS) + chunk;
    @if(q4 || q8) {
        let number = scale_number(row, chunk);
        let word = scale_word(number);
        return Chunk(text_up[at], element(p.scale_type, text_up[word / 4u][word % 4u], number));
    }
    @if(f32) {
        return Chunk(text_up[2u * at], text_up[2u * at + 1u]);
    }
    @if(bf16 || f16) {
        return Chunk(text_up[at]);
    }
}

@if(gate_up) fn chunk_visual_up(row: u32, chunk: u32) -> Chunk {
    let at = row * (p.eights / EIGHTS) + chunk;
    @if(q4 || q8) {
        let number = scale_number(row, chunk);
        let word = scale_word(number);
        return Chunk(visual_up[at], element(p.scale_type, visual_up[word / 4u][word % 4u], number));
    }
    @if(f32) {
        return Chunk(visual_up[2u * at], visual_up[2u * at + 1u]);
    }
    @if(bf16 || f16) {
        return Chunk(visual_up[at]);
    }
}

// Eight `i` of a chunk; of integers without their scale.
fn eight_of(chunk: Chunk, i: u32) -> Eight {
    let w = chunk.words;
    @if(f32) {
        return Eight(bitcast<vec4<f32>>(w), bitcast<vec4<f32>>(chunk.more));
    }
    @if(bf16) {
        let even = bitcast<vec4<f32>>(w << vec4(16u));
        let odd = bitcast<vec4<f32>>(w & vec4(0xffff0000u));
        return Eight(vec4(even.x, odd.x, even.y, odd.y), vec4(even.z, odd.z, even.w, odd.w));
    }
    @if(f16) {
        return Eight(
            vec4(unpack2x16float(w.x), unpack2x16float(w.y)),
            vec4(unpack2x16float(w.z), unpack2x16float(w.w)),
        );
    }
    @if(q8) {
        return Eight(four_integers(w[2u * i], 8u), four_integers(w[2u * i + 1u], 8u));
    }
    @if(q4) {
        return Eight(four_integers(w[i], 4u), four_integers(w[i] >> 16u, 4u));
    }
}

// Eight `i` of a chunk, the elements themselves.
fn scaled_eight(chunk: Chunk, i: u32) -> Eight {
    let eight = eight_of(chunk, i);
    @if(q4 || q8) {
        return Eight(eight.lo * chunk.scale, eight.hi * chunk.scale);
    } @else {
        return eight;
    }
}

// Elements k..k+4 of a row of x; zeros beyond its end.
fn x_four(row: u32, k: u32) -> vec4<f32> {
    if k >= p.inner {
        return vec4(0.0);
    }
    let at = row * p.inner + k;
    if p.aligned == 1u {
        return x[at / 4u];
    }
    var four = vec4(x_one(at), 0.0, 0.0, 0.0);
    if k + 1u < p.inner { four.y = x_one(at + 1u); }
    if k + 2u < p.inner { four.z = x_one(at + 2u); }
    if k + 3u < p.inner { four.w = x_one(at + 3u); }
    return four;
}

fn x_one(at: u32) -> f32 {
    return x[at / 4u][at % 4u];
}

// The norm's weights k..k+4; zeros beyond the end.
fn norm_four(k: u32) -> vec4<f32> {
    let at = p.norm + k;
    var four = vec4(0.0);
    if k < p.inner { four.x = vectors[at]; }
    if k + 1u < p.inner { four.y = vectors[at + 1u]; }
    if k + 2u < p.inner { four.z = vectors[at + 2u]; }
    if k + 3u < p.inner { four.w = vectors[at + 3u]; }
    return four;
}

fn bias_of(is_visual: bool, column: u32) -> f32 {
    let at = select(p.bias_text, p.bias_visual, is_visual);
    if at == NONE {
        return 0.0;
    }
    return vectors[at + column];
}
