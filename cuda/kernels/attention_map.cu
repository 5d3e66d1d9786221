// The softmax probabilities of attention, averaged over the query heads. One block a row; a thread has every 128th key.

#include "shared/eight.cuh"
#include "shared/paged.cuh"
#include "shared/reduce.cuh"

struct Params {
    float* result;
    const float* queries;
    const Kv* keys;
    Pages pages;
    u32 n;
    u32 query_heads;
    u32 kv_heads;
    u32 head_size;
    float scale;
    u32 context;
};

INLINE float score(const Params& p, const float* query, u32 kv_head, const Table& table, u32 key) {
    const Kv* k = row_of_head(p.keys, (u64)table.slot(key) * p.kv_heads + kv_head, p.head_size);
    float sum = 0.0f;
    for (u32 e = 0; e < p.head_size; e++) {
        sum += query[e] * widen(k[e]);
    }
    return sum * factor(k) * p.scale;
}

ENTRY(attention_map, 128) {
    __shared__ float terms[4];
    u64 row = block_number();
    if (row >= p.n) {
        return;
    }
    Table table = p.pages.of_row(row);
    u32 keys = p.pages.keys_of(row);
    float* result = p.result + row * p.context;
    for (u32 key = threadIdx.x; key < p.context; key += blockDim.x) {
        result[key] = 0.0f;
    }
    for (u32 head = 0; head < p.query_heads; head++) {
        const float* query = p.queries + (row * p.query_heads + head) * p.head_size;
        u32 kv_head = head / (p.query_heads / p.kv_heads);
        float most = LOWEST;
        for (u32 key = threadIdx.x; key < keys; key += blockDim.x) {
            most = fmaxf(most, score(p, query, kv_head, table, key));
        }
        most = block_max(most, terms);
        float sum = 0.0f;
        for (u32 key = threadIdx.x; key < keys; key += blockDim.x) {
            sum += expf(score(p, query, kv_head, table, key) - most);
        }
        float total = block_sum(sum, terms) * p.query_heads;
        for (u32 key = threadIdx.x; key < min(keys, p.context); key += blockDim.x) {
            result[key] += expf(score(p, query, kv_head, table, key) - most) / total;
        }
    }
}
