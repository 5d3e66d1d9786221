// What the projections (linear, gate_up, qkv_rope) share: y = W·x by tensor cores for many rows, by dot products for few.
//
// Output columns are computed in *pairs*; an operator's Policy says which two weight rows a pair has, and what becomes of
// their two sums: gate and up, the two halves of a rotation, or two columns 64 apart.
//
//     struct Policy {
//         static u32 pairs(const Params& p);
//         static const Weight* weight(const Params& p, bool is_visual, u32 pair, bool second);  // null beyond the end
//         static void finish(const Params& p, bool is_visual, u32 row, u32 pair, float a, float b);
//     };

#pragma once
#include "shared/element.cuh"
#include "shared/reduce.cuh"
#include "shared/tensor.cuh"

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
    // Elements from one weight row to the next: inner, padded with zeros to a multiple of 8.
    u32 stride;
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

// ---- Few rows: each warp has PAIRS pairs of weight rows and reads each weight once for ROWS rows of x. ----

constexpr u32 FEW_WARPS = 4;

// Blocks: x = groups of ROWS rows, y = groups of PAIRS * FEW_WARPS pairs. Row groups are neighbours in the grid: the second
// and later find the weights in the cache.
template <class Policy, u32 ROWS, u32 PAIRS, class Params>
INLINE void few(const Params& p) {
    const Project& j = p.project;
    u32 lane = threadIdx.x % WARP;
    u32 first_pair = (blockIdx.y * FEW_WARPS + threadIdx.x / WARP) * PAIRS;
    u32 first_row = blockIdx.x * ROWS;
    const Weight* weights[2 * PAIRS];
    const float* x[ROWS];
#pragma unroll
    for (u32 i = 0; i < 2 * PAIRS; i++) {
        u32 pair = min(first_pair + i / 2, Policy::pairs(p) - 1);
        const Weight* w = Policy::weight(p, false, pair, i % 2 == 1);
        // Where a pair has but one row it is read twice, and the second sum is not used.
        weights[i] = w != nullptr ? w : Policy::weight(p, false, pair, false);
    }
#pragma unroll
    for (u32 r = 0; r < ROWS; r++) {
        x[r] = j.x + (u64)min(first_row + r, j.rows - 1) * j.inner;
    }
    float sums[2 * PAIRS][ROWS] = {};
    float squares[ROWS] = {};
    bool whole = j.inner % 8 == 0;
#pragma unroll 2
    for (u32 k = lane * 8; k < j.inner; k += WARP * 8) {
        float w[2 * PAIRS][8];
#pragma unroll
        for (u32 i = 0; i < 2 * PAIRS; i++) {
            // The padding of a weight row makes its last eight whole.
            load_8(weights[i] + k, w[i]);
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
#pragma unroll
            for (u32 i = 0; i < 2 * PAIRS; i++) {
#pragma unroll
                for (u32 e = 0; e < 8; e++) {
                    sums[i][r] += w[i][e] * v[e];
                }
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

// ---- Many rows: a block has 64 pairs of columns and one or two routing blocks of rows. ----
//
// Routed, there is one thread block per modality: it reads the counts of its routing blocks, exits before any barrier where
// its modality has no row, and else gathers and writes its own rows only.

// Columns of x in a step, in elements and in 16-byte pieces; steps that are loaded ahead.
constexpr u32 DEPTH = 32;
constexpr u32 PIECES = DEPTH / 8;
constexpr u32 STAGES = 4;
constexpr u32 TILE_PAIRS = 64;

// Where a 16-byte piece of a tile's row lies: rows are 64 bytes, and pieces are exchanged so that the eight rows of a matrix
// lie in different banks.
INLINE u32 piece_at(u32 row, u32 piece) {
    return row * DEPTH + (piece ^ (row / 2 % PIECES)) * 8;
}

// Where the sums of a pair wait to be finished; exchanged so that the four rows that half a warp writes differ in banks.
INLINE u32 result_at(u32 row, u32 pair) {
    return row * TILE_PAIRS + (pair ^ ((row & 1) | (row & 2) << 2));
}

// The host gives a block room for tiles of x (ROWS rows) and of the weights (2 * TILE_PAIRS rows) for every stage, and for the
// numbers of its rows.

// A piece of a weight row into shared memory: bf16 as it is, other types as a term.
INLINE void fill_weight(u16* to, const Bf16* from, u32 term, bool present) {
    copy_async(to, from, present);
}

template <class T>
INLINE void fill_weight(u16* to, const T* from, u32 term, bool present) {
    float v[8] = {};
    if (present) {
        load_8(from, v);
    }
    u32 words[4];
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        words[i] = (u32)bf16_term(v[2 * i], term) | ((u32)bf16_term(v[2 * i + 1], term) << 16);
    }
    *(uint4*)to = make_uint4(words[0], words[1], words[2], words[3]);
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
    u16* tiles_x = (u16*)memory;
    u16* tiles_w = tiles_x + STAGES * ROWS * DEPTH;
    u32* rows = (u32*)(tiles_w + STAGES * 2 * TILE_PAIRS * DEPTH);
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
        u16* tile_w = tiles_w + stage * 2 * TILE_PAIRS * DEPTH;
        for (u32 i = threadIdx.x; i < 2 * TILE_PAIRS * PIECES; i += blockDim.x) {
            u32 row = i / PIECES, piece = i % PIECES;
            u32 pair = first_pair + row % TILE_PAIRS;
            const Weight* from = nullptr;
            if (pair < Policy::pairs(p) && column + piece * 8 < j.stride) {
                from = Policy::weight(p, is_visual, pair, row >= TILE_PAIRS);
            }
            bool present = from != nullptr;
            // Where nothing is copied the address is still one that may be read.
            const Weight* any = Policy::weight(p, is_visual, 0, false);
            fill_weight(tile_w + piece_at(row, piece), present ? from + column + piece * 8 : any, terms >> 4 & 15u, present);
        }
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
    for (u32 step = 0; step < total; step++) {
        copies_wait<STAGES - 2>();
        // The stage of this step is there for all, and all are done with that of the step before.
        __syncthreads();
        if (step + STAGES - 1 < total) {
            fill(step + STAGES - 1);
        }
        copies_commit();
        const u16* tile_x = tiles_x + step % STAGES * ROWS * DEPTH;
        const u16* tile_w = tiles_w + step % STAGES * 2 * TILE_PAIRS * DEPTH;
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

// The entries of an operator: `few_1`.. for up to so many rows, `many_64` and `many_128` by rows of a block.
#define PROJECTION_ENTRIES(Policy)                                          \
    ENTRY(few_1, 32 * FEW_WARPS) { few<Policy, 1, 2>(p); }                  \
    ENTRY(few_2, 32 * FEW_WARPS) { few<Policy, 2, 2>(p); }                  \
    ENTRY(few_4, 32 * FEW_WARPS) { few<Policy, 4, 1>(p); }                  \
    ENTRY(few_8, 32 * FEW_WARPS) { few<Policy, 8, 1>(p); }                  \
    ENTRY(many_64, 128) { many<Policy, 64>(p); }                            \
    ENTRY(many_128, 256) { many<Policy, 128>(p); }
