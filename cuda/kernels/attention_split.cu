// Attention of single rows (decode), split over the keys. A block does one row, up to two query heads of one kv head and one
// run of keys; eight lanes a key, so that 16 keys go by at once, each group of lanes with a softmax of its own until the end.
//
// With one split the result is written; with several their sums, to be joined by attention_combine.
// Blocks of 128 threads: x = rows times kv heads times pairs of heads, y = splits.

#include "shared/eight.cuh"
#include "shared/paged.cuh"

struct Params {
    // [rows, heads, d]; with several splits [rows, heads, splits, d + 2]: sums, largest score, sum of exponentials.
    float* result;
    const float* queries;
    const Kv* keys;
    const Kv* values;
    Pages pages;
    u32 query_heads;
    u32 kv_heads;
    u32 head_size;
    float scale;
    u32 splits;
};

constexpr u32 HEADS = 2;
constexpr u32 LANES = 8;
constexpr u32 THREADS = 128;
constexpr u32 GROUPS = THREADS / LANES;
constexpr u32 WARPS = THREADS / WARP;

// A softmax on its way: largest score, sum of exponentials, weighted sum of this lane's columns of the values.
template <u32 COLUMNS>
struct Softmax {
    float most;
    float total;
    float sums[COLUMNS];

    INLINE void rescale(float now) {
        float shrink = expf(most - now);
        total *= shrink;
#pragma unroll
        for (u32 i = 0; i < COLUMNS; i++) {
            sums[i] *= shrink;
        }
        most = now;
    }

    // Takes in what the lane `step` away has.
    INLINE void join(u32 step) {
        rescale(fmaxf(most, __shfl_xor_sync(0xffffffffu, most, step)));
        total += __shfl_xor_sync(0xffffffffu, total, step);
#pragma unroll
        for (u32 i = 0; i < COLUMNS; i++) {
            sums[i] += __shfl_xor_sync(0xffffffffu, sums[i], step);
        }
    }
};

// This lane's columns of a head: eights of neighbours, so that eight lanes read 128 bytes at once.
template <class T, u32 COLUMNS>
INLINE void load_columns(const T* from, u32 d, u32 lane, float out[COLUMNS]) {
#pragma unroll
    for (u32 i = 0; i < COLUMNS; i += 8) {
        u32 e = i * LANES + lane * 8;
        if (d % 8 == 0 && e < d) {
            load_8(from + e, out + i);
        } else {
            load_some(from + e, e < d ? min(8u, d - e) : 0, out + i);
        }
    }
}

template <u32 COLUMNS>
INLINE void split(const Params& p) {
    SHARED_BYTES(memory);
    float* shared = (float*)memory;
    u32 d = p.head_size;
    u32 group_heads = p.query_heads / p.kv_heads;
    u32 chunks = divide_up(group_heads, HEADS);
    u32 row = blockIdx.x / (p.kv_heads * chunks);
    u32 kv_head = blockIdx.x / chunks % p.kv_heads;
    u32 first_head = blockIdx.x % chunks * HEADS;
    u32 heads = min(HEADS, group_heads - first_head);
    u32 lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
    u64 query = (u64)row * p.query_heads + kv_head * group_heads + first_head;

    float q[HEADS][COLUMNS];
    Softmax<COLUMNS> softmax[HEADS];
#pragma unroll
    for (u32 h = 0; h < HEADS; h++) {
        load_columns<float, COLUMNS>(p.queries + (query + min(h, heads - 1)) * d, d, lane, q[h]);
        softmax[h].most = LOWEST;
        softmax[h].total = 0.0f;
#pragma unroll
        for (u32 i = 0; i < COLUMNS; i++) {
            q[h][i] *= p.scale;
            softmax[h].sums[i] = 0.0f;
        }
    }
    u32 keys_a_split = divide_up(divide_up(p.pages.sizes[1], p.splits), GROUPS) * GROUPS;
    Table table = p.pages.of_row(row);
    u32 end = min((blockIdx.y + 1) * keys_a_split, p.pages.keys_of(row));
    for (u32 start = blockIdx.y * keys_a_split; start < end; start += GROUPS) {
        // All lanes of a warp go the same way; beyond the end they do the last key with weight 0.
        bool present = start + group < end;
        u64 number = (u64)table.slot(present ? start + group : end - 1) * p.kv_heads + kv_head;
        const Kv* key = row_of_head(p.keys, number, d);
        const Kv* value = row_of_head(p.values, number, d);
        float k[COLUMNS], v[COLUMNS];
        load_columns<Kv, COLUMNS>(key, d, lane, k);
        load_columns<Kv, COLUMNS>(value, d, lane, v);
#pragma unroll
        for (u32 h = 0; h < HEADS; h++) {
            float score = 0.0f;
#pragma unroll
            for (u32 i = 0; i < COLUMNS; i++) {
                score += q[h][i] * k[i];
            }
#pragma unroll
            for (u32 step = LANES / 2; step > 0; step /= 2) {
                score += __shfl_xor_sync(0xffffffffu, score, step);
            }
            score *= factor(key);
            Softmax<COLUMNS>& s = softmax[h];
            if (present) {
                if (score > s.most) {
                    s.rescale(score);
                }
                float weight = expf(score - s.most);
                s.total += weight;
                weight *= factor(value);
#pragma unroll
                for (u32 i = 0; i < COLUMNS; i++) {
                    s.sums[i] += weight * v[i];
                }
            }
        }
    }
    // The groups of a warp, then the warps.
    u32 warp = threadIdx.x / WARP;
    u32 width = LANES * COLUMNS + 2;
#pragma unroll
    for (u32 h = 0; h < HEADS; h++) {
        softmax[h].join(LANES);
        softmax[h].join(2 * LANES);
        float* to = shared + (h * WARPS + warp) * width;
        if (threadIdx.x % WARP < LANES) {
#pragma unroll
            for (u32 i = 0; i < COLUMNS; i++) {
                to[i / 8 * 8 * LANES + lane * 8 + i % 8] = softmax[h].sums[i];
            }
            if (lane == 0) {
                to[width - 2] = softmax[h].most;
                to[width - 1] = softmax[h].total;
            }
        }
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < heads * d; i += THREADS) {
        u32 h = i / d, e = i % d;
        const float* from = shared + h * WARPS * width;
        float most = LOWEST;
        for (u32 w = 0; w < WARPS; w++) {
            most = fmaxf(most, from[w * width + width - 2]);
        }
        float sum = 0.0f, total = 0.0f;
        for (u32 w = 0; w < WARPS; w++) {
            float weight = expf(from[w * width + width - 2] - most);
            sum += weight * from[w * width + e];
            total += weight * from[w * width + width - 1];
        }
        if (p.splits == 1) {
            p.result[(query + h) * d + e] = sum / total;
            continue;
        }
        float* to = p.result + ((query + h) * p.splits + blockIdx.y) * (d + 2);
        to[e] = sum;
        if (e == 0) {
            to[d] = most;
            to[d + 1] = total;
        }
    }
}

// By columns a lane has: heads of up to 64, 128 and 256.
ENTRY(split_64, THREADS) { split<8>(p); }
ENTRY(split_128, THREADS) { split<16>(p); }
ENTRY(split_256, THREADS) { split<32>(p); }
