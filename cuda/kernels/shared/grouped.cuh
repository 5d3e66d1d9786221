// Weights stored as integers of 8 or 4 bits in groups along a row, each group with a factor (scale).
//
// A matrix is one buffer: the integers of all rows, the first of a word in its lowest bits and without sign (4 bits: 0 is -8;
// 8 bits: 0 is -128), then the scales of all rows. Rows are whole groups, groups whole units of 32 elements.

#pragma once
#include "shared/element.cuh"

// What the host says of such a matrix; zeros for others.
struct Groups {
    // Elements of a group.
    u32 size;
    // Words before the scales.
    u32 scales;
    u32 scale_type;
};

// The scale of a group, counted over the whole matrix.
INLINE float scale_of(const Groups& g, const void* matrix, u64 group) {
    return element(g.scale_type, (const u32*)matrix + g.scales, group);
}

// Element `column` of row `row` of a matrix of any type; `stride` elements from one row to the next.
INLINE float element_of(const Groups& g, u32 dtype, const void* matrix, u32 stride, u64 row, u32 column) {
    u64 at = row * stride + column;
    if (dtype < EIGHT_BITS) {
        return element(dtype, matrix, at);
    }
    const u32* words = (const u32*)matrix;
    int integer = dtype == FOUR_BITS ? (int)(words[at / 8] >> (at % 8 * 4) & 15u) - 8
                                     : (int)(words[at / 4] >> (at % 4 * 8) & 255u) - 128;
    return integer * scale_of(g, matrix, at / g.size);
}

// Eight integers as floats, each larger by `Bits::OFFSET`: what is cheapest to make.
struct EightBits {
    static constexpr u32 WORDS = 2;
    static constexpr float OFFSET = 0.0f;

    static INLINE void widen(const u32 words[WORDS], float out[8]) {
#pragma unroll
        for (u32 i = 0; i < 8; i++) {
            // The bits of 2^23 + n, n below 2^23, end with n.
            out[i] = __uint_as_float(0x4b000000u | (words[i / 4] >> (i % 4 * 8) & 255u)) - (8388608.0f + 128.0f);
        }
    }
};

struct FourBits {
    static constexpr u32 WORDS = 1;
    static constexpr float OFFSET = 24.0f;

    static INLINE void widen(const u32 words[WORDS], float out[8]) {
#pragma unroll
        for (u32 i = 0; i < 8; i++) {
            // 16 + n: n is moved to where ones are in the bits of 16.
            u32 moved = i < 5 ? words[0] << (19 - 4 * i) : words[0] >> (4 * i - 19);
            out[i] = __uint_as_float(0x41800000u | (moved & 0x00780000u));
        }
    }
};
