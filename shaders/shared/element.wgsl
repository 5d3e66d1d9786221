// One element of a weight of any stored type, for operators that touch each weight once.

import package::shared::math::{bf16_low, bf16_high};

const F32: u32 = 0u;
const BF16: u32 = 1u;

// Which word holds element `at`.
fn word_of(dtype: u32, at: u32) -> u32 {
    return select(at / 2u, at, dtype == F32);
}

// Element `at` out of its word.
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
