// One element of a weight of any stored type, for operators that touch each weight once, and for scales.

import package::shared::math::{bf16_low, bf16_high};

const F32: u32 = 0u;
const BF16: u32 = 1u;
const F16: u32 = 2u;
// Integers in groups.
const BITS_8: u32 = 3u;
const BITS_4: u32 = 4u;

// Which word holds element `at`.
fn word_of(dtype: u32, at: u32) -> u32 {
    switch dtype {
        case F32: { return at; }
        case BITS_8: { return at / 4u; }
        case BITS_4: { return at / 8u; }
        default: { return at / 2u; }
    }
}

// Float `at` out of its word.
fn element(dtype: u32, word: u32, at: u32) -> f32 {
    if dtype == F32 {
        return bitcast<f32>(word);
    }
    if dtype == BF16 {
        if at % 2u == 0u { return bf16_low(word); }
        return bf16_high(word);
    }
    let pair = unpack2x16float(word);
    return select(pair.y, pair.x, at % 2u == 0u);
}

// Integer `at` out of its word.
fn integer(dtype: u32, word: u32, at: u32) -> f32 {
    if dtype == BITS_8 {
        return four_integers(word, 8u)[at % 4u];
    }
    return four_integers(word >> (16u * ((at / 4u) % 2u)), 4u)[at % 4u];
}

// The four integers of `bits` bits that begin in the lowest ones of a word, stored without sign.
fn four_integers(word: u32, bits: u32) -> vec4<f32> {
    let shifted = vec4(word, word >> bits, word >> (2u * bits), word >> (3u * bits));
    let offset = 1u << (bits - 1u);
    return vec4<f32>(shifted & vec4(2u * offset - 1u)) - vec4(f32(offset));
}
