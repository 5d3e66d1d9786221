// Projections of few rows: each warp has PAIRS pairs of weight rows and reads each weight once for ROWS rows of x.

#pragma once
#include "shared/projection.cuh"
#include "shared/reduce.cuh"

constexpr u32 FEW_WARPS = 4;

// Blocks: x = groups of ROWS rows, y = groups of PAIRS * FEW_WARPS pairs. Row groups are neighbours in the grid: the second
// and later find the weights in the cache.
template <class Policy, u32 ROWS, u32 PAIRS, class Params>
INLINE void few(const Params& p) {
    const Project& j = p.project;
    u32 lane = threadIdx.x % WARP;
    u32 first_pair = (blockIdx.y * FEW_WARPS + threadIdx.x / WARP) * PAIRS;
    u32 first_row = blockIdx.x * ROWS;
    Row weights[2 * PAIRS];
    const float* x[ROWS];
#pragma unroll
    for (u32 i = 0; i < 2 * PAIRS; i++) {
        u32 pair = min(first_pair + i / 2, Policy::pairs(p) - 1);
        bool second = i % 2 == 1;
        u32 row = Policy::row(p, pair, second);
        // Where a pair has but one row it is read twice, and the second sum is not used.
        row = row != NO_ROW ? row : Policy::row(p, pair, false);
        weights[i] = row_of(j.matrices, Policy::matrix(p, false, second), row);
    }
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) {
        x[r] = j.x + (u64)min(first_row + r, j.rows - 1) * j.inner;
    }
    float sums[2 * PAIRS][ROWS] = {};
    float squares[ROWS] = {};
    bool whole = j.inner % 8 == 0;
    // Integers are few bytes: more of them are asked for at once.
#pragma unroll(GROUPED ? 4 : 2)
    for (u32 k = lane * 8; k < j.inner; k += WARP * 8) {
        float w[2 * PAIRS][8], scales[2 * PAIRS];
#pragma unroll
        for (u32 i = 0; i < 2 * PAIRS; i++) {
            scales[i] = load_row(j.matrices, weights[i], k, w[i]);
        }
        float g[8];
        if (j.norm != nullptr) {
            load_some(j.norm + k, min(8u, j.inner - k), g);
        }
#pragma unroll
        for (u32 r = 0; r < ROWS; r++) {
            float v[8];
            if (whole) {
                load_8(x[r] + k, v);
            } else {
                load_some(x[r] + k, min(8u, j.inner - k), v);
            }
            if (j.norm != nullptr) {
#pragma unroll
                for (u32 e = 0; e < 8; e++) {
                    squares[r] += v[e] * v[e];
                    v[e] *= g[e];
                }
            }
            float too_much = 0.0f;
            if constexpr (Bits::OFFSET != 0.0f) {
#pragma unroll
                for (u32 e = 0; e < 8; e++) {
                    too_much += Bits::OFFSET * v[e];
                }
            }
#pragma unroll
            for (u32 i = 0; i < 2 * PAIRS; i++) {
                // Integers are multiplied, and the scale of their group last: eight elements are never in two groups.
                float sum = GROUPED ? -too_much : sums[i][r];
#pragma unroll
                for (u32 e = 0; e < 8; e++) {
                    sum += w[i][e] * v[e];
                }
                sums[i][r] = GROUPED ? sums[i][r] + scales[i] * sum : sum;
            }
        }
    }
    // Every lane has all sums then; each finishes another row and pair.
    static_assert(ROWS * PAIRS <= WARP, "a lane for each");
    float a = 0.0f, b = 0.0f;
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) {
        // W·(x∘g / rms) = (W·(x∘g)) / rms: the squares were summed on the way.
        float scale = 1.0f;
        if (j.norm != nullptr) {
            scale = rsqrtf(warp_sum(squares[r]) / j.inner + j.eps);
        }
#pragma unroll
        for (u32 i = 0; i < PAIRS; i++) {
            float sum_a = warp_sum(sums[2 * i][r]) * scale;
            float sum_b = warp_sum(sums[2 * i + 1][r]) * scale;
            if (lane == r * PAIRS + i) {
                a = sum_a;
                b = sum_b;
            }
        }
    }
    u32 row = first_row + lane / PAIRS, pair = first_pair + lane % PAIRS;
    if (lane < ROWS * PAIRS && row < j.rows && pair < Policy::pairs(p)) {
        Policy::finish(p, false, row, pair, a, b);
    }
}

