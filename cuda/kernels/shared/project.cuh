// What the projections (linear, gate_up, qkv_rope) share: y = W·x by tensor cores for many rows (many.cuh), by dot products for
// few (few.cuh).
//
// Output columns are computed in *pairs*; an operator's Policy says which two weight rows a pair has, and what becomes of
// their two sums: gate and up, the two halves of a rotation, or two columns 64 apart.
//
//     struct Policy {
//         static u32 pairs(const Params& p);
//         static u32 row(const Params& p, u32 pair, bool second);  // NO_ROW beyond the end
//         static const Weight* matrix(const Params& p, bool is_visual, bool second);
//         static void finish(const Params& p, bool is_visual, u32 row, u32 pair, float a, float b);
//     };

#pragma once
#include "shared/few.cuh"
#include "shared/many.cuh"

// The entries of an operator: `few_1`.. for up to so many rows, `many_64` and `many_128` by rows of a block.
#define PROJECTION_ENTRIES(Policy)                                          \
    ENTRY(few_1, 32 * FEW_WARPS) { few<Policy, 1, 2>(p); }                  \
    ENTRY(few_2, 32 * FEW_WARPS) { few<Policy, 2, 2>(p); }                  \
    ENTRY(few_4, 32 * FEW_WARPS) { few<Policy, 4, 1>(p); }                  \
    ENTRY(few_8, 32 * FEW_WARPS) { few<Policy, 8, 1>(p); }                  \
    ENTRY(many_64, 128) { many<Policy, 64>(p); }                            \
    ENTRY(many_128, 256) { many<Policy, 128>(p); }
