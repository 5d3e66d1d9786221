// What the projections are told.

#pragma once
#include "shared/weight.cuh"

// What the three operators have among their parameters.
struct Project {
    const float* x;
    // x as bf16 terms (pack_rows), for many rows.
    const u16* packed;
    // Null: all rows are text, one after another.
    const u32* routing;
    // Weights of the RMSNorm, for few rows; null: none.
    const float* norm;
    u32 rows;
    u32 inner;
    Matrices matrices;
    // Elements from one packed row to the next: inner, padded with zeros to a multiple of the tile's depth.
    u32 depth;
    float eps;
    // Bit 0: the text expert is an identity; bit 1: the visual expert is.
    u32 identity;
    // Products of terms that are summed: 4 bits the term of x, 4 bits the term of the weight, for each of up to six.
    u32 products[2];
    u32 product_count;
    u32 route_blocks;
};

// Rows that a block of the host's routing table lists.
constexpr u32 ROUTE_BLOCK = 64;
