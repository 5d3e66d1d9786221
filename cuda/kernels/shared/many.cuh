// Projections of many rows: a block has 64 pairs of columns and one or two routing blocks of rows.
//
// Routed, there is one thread block per modality: it reads the counts of its routing blocks, exits before any barrier where
// its modality has no row, and else gathers and writes its own rows only.

#pragma once
#include "shared/weight_tiles.cuh"

// Where the sums of a pair wait to be finished; exchanged so that the four rows that half a warp writes differ in banks.
INLINE u32 result_at(u32 row, u32 pair) {
    return row * TILE_PAIRS + (pair ^ ((row & 1) | (row & 2) << 2));
}

// An identity expert passes its rows, whole.
template <class Policy, class Params>
INLINE void pass_rows(const Params& p, bool is_visual, const u32* rows, u32 count, u32 first_pair) {
    for (u32 i = threadIdx.x; i < count * TILE_PAIRS; i += blockDim.x) {
        u32 row = rows[i / TILE_PAIRS], pair = first_pair + i % TILE_PAIRS;
        if (pair < Policy::pairs(p)) {
            const float* x = p.project.x + (u64)row * p.project.inner;
            u32 a = Policy::column(pair, false), b = Policy::column(pair, true);
            Policy::finish(p, is_visual, row, pair, a < p.project.inner ? x[a] : 0.0f, b < p.project.inner ? x[b] : 0.0f);
        }
    }
}

// Blocks: x = groups of ROWS rows, y = tiles of 64 pairs, z = modality if routed. ROWS * 2 threads: warps of 32 rows by 32
// pairs.
template <class Policy, u32 ROWS, class Params>
INLINE void many(const Params& p) {
    const Project& j = p.project;
    constexpr u32 BLOCKS = ROWS / ROUTE_BLOCK;
    bool is_visual = blockIdx.z == 1;
    u32 counts[BLOCKS], count = 0;
#pragma unroll
    for (u32 b = 0; b < BLOCKS; b++) {
        u32 block = blockIdx.x * BLOCKS + b;
        if (j.routing == nullptr) {
            counts[b] = j.rows > block * ROUTE_BLOCK ? min(ROUTE_BLOCK, j.rows - block * ROUTE_BLOCK) : 0;
        } else {
            u32 word = block < j.route_blocks ? j.routing[(u64)block * (1 + ROUTE_BLOCK)] : 0;
            counts[b] = is_visual ? word >> 16 : word & 0xffffu;
        }
        count += counts[b];
    }
    if (count == 0) {
        return;
    }
    SHARED_BYTES(memory);
    typedef WeightTiles<Policy, 2 * ROWS, Params> Tiles;
    // The results later lie where the tiles are.
    constexpr u32 X_BYTES = STAGES * ROWS * DEPTH * 2, RESULT_BYTES = ROWS * TILE_PAIRS * 8;
    constexpr u32 TILE_BYTES = X_BYTES + Tiles::BYTES > RESULT_BYTES ? X_BYTES + Tiles::BYTES : RESULT_BYTES;
    u16* tiles_x = (u16*)memory;
    u32* rows = (u32*)(memory + TILE_BYTES);
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) {
        u32 b = BLOCKS == 1 || i < counts[0] ? 0 : 1;
        u32 within = b == 0 ? i : i - counts[0];
        u32 block = blockIdx.x * BLOCKS + b;
        if (j.routing == nullptr) {
            rows[i] = block * ROUTE_BLOCK + within;
        } else {
            const u32* listed = j.routing + (u64)block * (1 + ROUTE_BLOCK);
            rows[i] = listed[1 + within + (is_visual ? listed[0] & 0xffffu : 0)];
        }
    }
    __syncthreads();
    u32 first_pair = blockIdx.y * TILE_PAIRS;
    if (j.identity >> blockIdx.z & 1) {
        pass_rows<Policy>(p, is_visual, rows, count, first_pair);
        return;
    }

    Tiles tiles_w(p, is_visual, first_pair, memory + X_BYTES);
    u32 steps = j.depth / DEPTH;
    auto fill = [&](u32 step) {
        u32 product = step / steps, column = step % steps * DEPTH;
        u32 terms = j.products[product / 4] >> (product % 4 * 8);
        u32 stage = step % STAGES;
        u16* tile_x = tiles_x + stage * ROWS * DEPTH;
        const u16* x = j.packed + (u64)(terms & 15u) * j.rows * j.depth;
        for (u32 i = threadIdx.x; i < ROWS * PIECES; i += blockDim.x) {
            u32 row = i / PIECES, piece = i % PIECES;
            bool present = row < count;
            const u16* from = x + (u64)rows[present ? row : 0] * j.depth + column + piece * 8;
            copy_async(tile_x + piece_at(row, piece), from, present);
        }
        tiles_w.fill(step, column, terms >> 4 & 15u);
    };

    u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    u32 warp_row = warp / 2 * 32, warp_pair = warp % 2 * 32;
    // [16 rows][8 columns, first the firsts of the pairs, then the seconds].
    float sums[2][8][4] = {};
    u32 total = steps * j.product_count;
#pragma unroll
    for (u32 s = 0; s < STAGES - 1; s++) {
        if (s < total) {
            fill(s);
        }
        copies_commit();
    }
    tiles_w.begin();
    for (u32 step = 0; step < total; step++) {
        copies_wait<STAGES - 2 - Tiles::AHEAD>();
        // The stage of this step is there for all, and all are done with that of the step before.
        __syncthreads();
        if (step + STAGES - 1 < total) {
            fill(step + STAGES - 1);
        }
        copies_commit();
        if (step + 1 < total) {
            tiles_w.decode(step + 1);
        }
        const u16* tile_x = tiles_x + step % STAGES * ROWS * DEPTH;
        const u16* tile_w = tiles_w.tile(step);
#pragma unroll
        for (u32 k = 0; k < PIECES; k += 2) {
            u32 a[2][4];
#pragma unroll
            for (u32 m = 0; m < 2; m++) {
                load_matrices(a[m], tile_x + piece_at(warp_row + m * 16 + lane % 16, k + lane / 16));
            }
#pragma unroll
            for (u32 n = 0; n < 8; n += 2) {
                u32 b[4];
                u32 row = n / 4 * TILE_PAIRS + warp_pair + n % 4 * 8 + lane / 16 * 8 + lane % 8;
                load_matrices(b, tile_w + piece_at(row, k + lane / 8 % 2));
#pragma unroll
                for (u32 m = 0; m < 2; m++) {
                    multiply(sums[m][n], a[m], b);
                    multiply(sums[m][n + 1], a[m], b + 2);
                }
            }
        }
    }
    // Through shared memory, so that neighbouring threads finish neighbouring pairs.
    copies_wait<0>();
    __syncthreads();
    float2* results = (float2*)memory;
#pragma unroll
    for (u32 m = 0; m < 2; m++) {
#pragma unroll
        for (u32 n = 0; n < 4; n++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                u32 row = warp_row + m * 16 + lane / 4 + i / 2 * 8;
                u32 pair = warp_pair + n * 8 + lane % 4 * 2 + i % 2;
                results[result_at(row, pair)] = make_float2(sums[m][n][i], sums[m][n + 4][i]);
            }
        }
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < count * TILE_PAIRS; i += blockDim.x) {
        u32 row = i / TILE_PAIRS, pair = i % TILE_PAIRS;
        if (first_pair + pair < Policy::pairs(p)) {
            float2 sums = results[result_at(row, pair)];
            Policy::finish(p, is_visual, rows[row], first_pair + pair, sums.x, sums.y);
        }
    }
}
