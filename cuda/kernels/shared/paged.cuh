// The paged KV cache: which slot holds a key of a sequence.

#pragma once
#include "shared/base.cuh"

constexpr u32 PAGE = 16;
// Below every score; finite, so that differences are.
constexpr float LOWEST = -3.0e38f;

// The pages of one sequence.
struct Table {
    const u32* pages;

    INLINE u32 slot(u32 key) const {
        return pages[key / PAGE] * PAGE + key % PAGE;
    }
};

// What kernels over pages have among their parameters.
struct Pages {
    // Token id, KV slot, position, sequence.
    const uint4* rows;
    const u32* table;
    // Two words of the run: width of the page table, and keys of the longest sequence. They are in memory, not among the
    // parameters, because they grow while a recorded decode step stays the same.
    const u32* sizes;

    INLINE Table of_row(u64 row) const {
        return {table + (u64)rows[row].w * sizes[0]};
    }

    // Keys that a row attends to.
    INLINE u32 keys_of(u64 row) const {
        return rows[row].z + 1;
    }
};
