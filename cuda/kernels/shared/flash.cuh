// Attention of 16 query rows over tiles of keys with an online softmax: in f32 (exact), and by tensor cores.
//
// The operator says where queries, keys and values lie:
//
//     struct Source {
//         typedef T Element;                       // of keys and values
//         u32 size;                                // of a head
//         u32 keys;                                // that any row attends to
//         float scale;
//         float query(u32 tile, u32 row, u32 e);   // a *tile* is 16 rows of one head
//         u32 keys_of(u32 tile, u32 row);          // 0: there is no such row
//         const T* key(u32 key); const T* value(u32 key);
//         void store(u32 tile, u32 row, u32 e, float v);
//     };

#pragma once
#include "shared/eight.cuh"
#include "shared/paged.cuh"
#include "shared/tensor.cuh"

constexpr u32 FLASH_ROWS = 16;

// ---- In f32: 128 threads, eight of them a row; one tile a block, 128 columns of the result from `first_column` on. ----

constexpr u32 EXACT_KEYS = 32;
constexpr u32 EXACT_COLUMNS = 128;

template <class Source>
INLINE void flash_exact(const Source& source, u32 first_column) {
    __shared__ float tile_q[FLASH_ROWS][EXACT_KEYS];
    // One more than a tile is wide keeps the lanes of a row on different banks.
    __shared__ float tile_k[EXACT_KEYS][EXACT_KEYS + 1];
    __shared__ float weights[FLASH_ROWS][EXACT_KEYS];
    u32 d = source.size;
    u32 row = threadIdx.x / 8, lane = threadIdx.x % 8;
    u32 my_keys = source.keys_of(0, row);
    float most = LOWEST, total = 0.0f;
    float sums[EXACT_COLUMNS / 8] = {};
    for (u32 start = 0; start < source.keys; start += EXACT_KEYS) {
        u32 present = min(EXACT_KEYS, source.keys - start);
        float scores[EXACT_KEYS / 8] = {};
        for (u32 e = 0; e < d; e += EXACT_KEYS) {
            __syncthreads();
            for (u32 i = threadIdx.x; i < FLASH_ROWS * EXACT_KEYS; i += blockDim.x) {
                u32 r = i / EXACT_KEYS, column = e + i % EXACT_KEYS;
                bool there = column < d && source.keys_of(0, r) > 0;
                tile_q[r][i % EXACT_KEYS] = there ? source.query(0, r, column) : 0.0f;
            }
            for (u32 i = threadIdx.x; i < EXACT_KEYS * EXACT_KEYS; i += blockDim.x) {
                u32 key = i / EXACT_KEYS, column = e + i % EXACT_KEYS;
                bool there = column < d && key < present;
                const auto* row = source.key(start + (key < present ? key : 0));
                tile_k[key][i % EXACT_KEYS] = there ? widen(row[column]) * factor(row) : 0.0f;
            }
            __syncthreads();
            for (u32 i = 0; i < EXACT_KEYS; i++) {
#pragma unroll
                for (u32 n = 0; n < EXACT_KEYS / 8; n++) {
                    scores[n] += tile_q[row][i] * tile_k[n * 8 + lane][i];
                }
            }
        }
        // The eight lanes of a row are neighbours: they agree on the largest score and on the sum.
        float now = most;
#pragma unroll
        for (u32 n = 0; n < EXACT_KEYS / 8; n++) {
            scores[n] = start + n * 8 + lane < my_keys ? scores[n] * source.scale : LOWEST;
            now = fmaxf(now, scores[n]);
        }
#pragma unroll
        for (u32 step = 4; step > 0; step /= 2) {
            now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, step));
        }
        float sum = 0.0f;
        __syncwarp();
#pragma unroll
        for (u32 n = 0; n < EXACT_KEYS / 8; n++) {
            float weight = start + n * 8 + lane < my_keys ? expf(scores[n] - now) : 0.0f;
            weights[row][n * 8 + lane] = weight;
            sum += weight;
        }
#pragma unroll
        for (u32 step = 4; step > 0; step /= 2) {
            sum += __shfl_xor_sync(0xffffffffu, sum, step);
        }
        float shrink = expf(most - now);
        total = total * shrink + sum;
        most = now;
#pragma unroll
        for (u32 j = 0; j < EXACT_COLUMNS / 8; j++) {
            sums[j] *= shrink;
        }
        __syncwarp();
        for (u32 key = 0; key < present; key++) {
            const auto* value = source.value(start + key);
            float weight = weights[row][key] * factor(value);
            value += first_column;
#pragma unroll
            for (u32 j = 0; j < EXACT_COLUMNS / 8; j++) {
                if (first_column + j * 8 + lane < d) {
                    sums[j] += weight * widen(value[j * 8 + lane]);
                }
            }
        }
    }
#pragma unroll
    for (u32 j = 0; j < EXACT_COLUMNS / 8; j++) {
        u32 e = first_column + j * 8 + lane;
        if (my_keys > 0 && e < d) {
            source.store(0, row, e, sums[j] / total);
        }
    }
}

// ---- By tensor cores: one tile a warp, all warps over the same keys. Queries are two bf16 terms, weights one. ----

constexpr u32 TENSOR_KEYS = 64;

// Elements from one row to the next in shared memory: eight more than a row has, so that matrix rows differ in banks.
// The host gives a block room for (2 * TENSOR_KEYS + 2 * FLASH_ROWS * warps) rows.
template <u32 D>
constexpr u32 ROW_STRIDE = D + 8;

// Eight elements into shared memory as bf16, `present` of them there.
INLINE void fill_piece(u16* to, const Bf16* from, u32 present, bool aligned) {
    // A copy of nothing, too, wants an aligned address.
    if (aligned) {
        copy_async(to, from, present > 0);
        return;
    }
    for (u32 i = 0; i < 8; i++) {
        to[i] = i < present ? from[i].bits : 0;
    }
}

INLINE void fill_piece(u16* to, const float* from, u32 present, bool aligned) {
    for (u32 i = 0; i < 8; i++) {
        to[i] = i < present ? bf16_bits(from[i]) : 0;
    }
}

// Integers of 8 bits are bf16 as they are.
INLINE void fill_piece(u16* to, const I8* from, u32 present, bool aligned) {
    float v[8];
    if (present == 8) {
        load_8(from, v);
    } else {
        load_some(from, present, v);
    }
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        ((u32*)to)[i] = bf16_pair(v[2 * i], v[2 * i + 1]);
    }
}

template <u32 D, class Source>
INLINE void flash_tensor(const Source& source) {
    SHARED_BYTES(memory);
    constexpr bool WITH_FACTORS = SCALED<typename Source::Element>;
    // Of keys and of values.
    __shared__ float factors[2][TENSOR_KEYS];
    constexpr u32 STRIDE = ROW_STRIDE<D>;
    u16* keys = (u16*)memory;
    u16* values = keys + TENSOR_KEYS * STRIDE;
    u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    u16* queries = values + TENSOR_KEYS * STRIDE + warp * 2 * FLASH_ROWS * STRIDE;
    u32 d = source.size;
    for (u32 i = lane; i < FLASH_ROWS * D; i += WARP) {
        u32 row = i / D, e = i % D;
        float q = e < d && source.keys_of(warp, row) > 0 ? source.query(warp, row, e) : 0.0f;
        queries[row * STRIDE + e] = bf16_term(q, 0);
        queries[(FLASH_ROWS + row) * STRIDE + e] = bf16_term(q, 1);
    }
    // This lane's rows are lane / 4 and eight further on.
    u32 my_keys[2];
    float most[2], total[2];
#pragma unroll
    for (u32 i = 0; i < 2; i++) {
        my_keys[i] = source.keys_of(warp, lane / 4 + 8 * i);
        most[i] = LOWEST;
        total[i] = 0.0f;
    }
    float sums[D / 8][4] = {};
    for (u32 start = 0; start < source.keys; start += TENSOR_KEYS) {
        u32 present = min(TENSOR_KEYS, source.keys - start);
        __syncthreads();
        for (u32 i = threadIdx.x; i < TENSOR_KEYS * (D / 8); i += blockDim.x) {
            u32 key = i / (D / 8), e = i % (D / 8) * 8;
            u32 there = key < present && e < d ? min(8u, d - e) : 0;
            // Where nothing is copied the address is still one that may be read; rows beyond the last key are zeros, since
            // a weight of 0 times anything else might not be 0.
            u32 from = start + (key < present ? key : 0), column = there > 0 ? e : 0;
            fill_piece(keys + key * STRIDE + e, source.key(from) + column, there, d % 8 == 0);
            fill_piece(values + key * STRIDE + e, source.value(from) + column, there, d % 8 == 0);
        }
        if constexpr (WITH_FACTORS) {
            for (u32 i = threadIdx.x; i < TENSOR_KEYS; i += blockDim.x) {
                u32 from = start + (i < present ? i : 0);
                factors[0][i] = factor(source.key(from));
                factors[1][i] = factor(source.value(from));
            }
        }
        copies_commit();
        copies_wait<0>();
        __syncthreads();
        float scores[TENSOR_KEYS / 8][4] = {};
#pragma unroll
        for (u32 k = 0; k < D; k += 16) {
            u32 q[2][4];
#pragma unroll
            for (u32 term = 0; term < 2; term++) {
                load_matrices(q[term], queries + (term * FLASH_ROWS + lane % 16) * STRIDE + k + lane / 16 * 8);
            }
#pragma unroll
            for (u32 n = 0; n < TENSOR_KEYS / 8; n += 2) {
                u32 b[4];
                load_matrices(b, keys + (n * 8 + lane / 16 * 8 + lane % 8) * STRIDE + k + lane / 8 % 2 * 8);
#pragma unroll
                for (u32 term = 0; term < 2; term++) {
                    multiply(scores[n], q[term], b);
                    multiply(scores[n + 1], q[term], b + 2);
                }
            }
        }
        float now[2] = {most[0], most[1]};
#pragma unroll
        for (u32 n = 0; n < TENSOR_KEYS / 8; n++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                u32 within = n * 8 + lane % 4 * 2 + i % 2, key = start + within;
                float scale = WITH_FACTORS ? source.scale * factors[0][within] : source.scale;
                scores[n][i] = key < my_keys[i / 2] ? scores[n][i] * scale : LOWEST;
                now[i / 2] = fmaxf(now[i / 2], scores[n][i]);
            }
        }
        float shrink[2];
#pragma unroll
        for (u32 i = 0; i < 2; i++) {
            // Four lanes share a row.
            now[i] = fmaxf(now[i], __shfl_xor_sync(0xffffffffu, now[i], 1));
            now[i] = fmaxf(now[i], __shfl_xor_sync(0xffffffffu, now[i], 2));
            shrink[i] = expf(most[i] - now[i]);
            total[i] *= shrink[i];
            most[i] = now[i];
        }
#pragma unroll
        for (u32 n = 0; n < TENSOR_KEYS / 8; n++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                u32 within = n * 8 + lane % 4 * 2 + i % 2, key = start + within;
                float weight = key < my_keys[i / 2] ? expf(scores[n][i] - most[i / 2]) : 0.0f;
                total[i / 2] += weight;
                scores[n][i] = WITH_FACTORS ? weight * factors[1][within] : weight;
            }
        }
#pragma unroll
        for (u32 n = 0; n < D / 8; n++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                sums[n][i] *= shrink[i / 2];
            }
        }
        // The layout of a result is that of a left operand: the weights stay where they are.
#pragma unroll
        for (u32 k = 0; k < TENSOR_KEYS / 8; k += 2) {
            u32 a[4] = {bf16_pair(scores[k][0], scores[k][1]), bf16_pair(scores[k][2], scores[k][3]),
                        bf16_pair(scores[k + 1][0], scores[k + 1][1]), bf16_pair(scores[k + 1][2], scores[k + 1][3])};
#pragma unroll
            for (u32 n = 0; n < D / 8; n += 2) {
                u32 b[4];
                load_matrices_transposed(b, values + (k * 8 + lane % 16) * STRIDE + n * 8 + lane / 16 * 8);
                multiply(sums[n], a, b);
                multiply(sums[n + 1], a, b + 2);
            }
        }
    }
#pragma unroll
    for (u32 i = 0; i < 2; i++) {
        total[i] += __shfl_xor_sync(0xffffffffu, total[i], 1);
        total[i] += __shfl_xor_sync(0xffffffffu, total[i], 2);
    }
#pragma unroll
    for (u32 n = 0; n < D / 8; n++) {
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            u32 e = n * 8 + lane % 4 * 2 + i % 2;
            if (my_keys[i / 2] > 0 && e < d) {
                source.store(warp, lane / 4 + i / 2 * 8, e, sums[n][i] / total[i / 2]);
            }
        }
    }
}
