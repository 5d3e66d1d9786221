// The weights of a projection, of the type that a unit is compiled for: how a row is found and how eight elements are read.

#pragma once
#include "shared/grouped.cuh"
#include "shared/tensor.cuh"

// A matrix is known by the pointer to its beginning, whatever it holds.
typedef void Weight;

// In place of a row: there is none.
constexpr u32 NO_ROW = 0xffffffffu;

// What the kernels are told of all the matrices that they read together.
struct Matrices {
    // Elements from one row to the next: a row, padded with zeros to a multiple of 8.
    u32 stride;
    Groups groups;
};

#if defined(WEIGHT_Q8) || defined(WEIGHT_Q4)

#ifdef WEIGHT_Q4
typedef FourBits Bits;
#else
typedef EightBits Bits;
#endif
constexpr bool GROUPED = true;

struct Row {
    const u32* words;
    const void* scales;
    // The row's first scale.
    u64 first;
};

INLINE Row row_of(const Matrices& m, const Weight* matrix, u32 row) {
    const u32* words = (const u32*)matrix;
    return {words + (u64)row * (m.stride / 8 * Bits::WORDS), words + m.groups.scales, (u64)row * (m.stride / m.groups.size)};
}

// Eight elements from column `k` on, a multiple of 8: each is (out - OFFSET) * the scale that is given.
INLINE float load_row(const Matrices& m, const Row& row, u32 k, float out[8]) {
    const u32* from = row.words + k / 8 * Bits::WORDS;
    u32 words[Bits::WORDS];
    if constexpr (Bits::WORDS == 2) {
        uint2 both = *(const uint2*)from;
        words[0] = both.x;
        words[1] = both.y;
    } else {
        words[0] = *from;
    }
    Bits::widen(words, out);
    return element(m.groups.scale_type, row.scales, row.first + k / m.groups.size);
}

#else

#if defined(WEIGHT_BF16)
typedef Bf16 Element;
#elif defined(WEIGHT_F16)
typedef F16 Element;
#else
typedef float Element;
#endif
struct Bits {
    static constexpr float OFFSET = 0.0f;
};
constexpr bool GROUPED = false;

struct Row {
    const Element* at;
};

INLINE Row row_of(const Matrices& m, const Weight* matrix, u32 row) {
    return {(const Element*)matrix + (u64)row * m.stride};
}

// Eight elements from column `k` on, a multiple of 8: the padding of a row makes its last eight whole.
INLINE float load_row(const Matrices& m, const Row& row, u32 k, float out[8]) {
    load_8(row.at + k, out);
    return 1.0f;
}

#endif
