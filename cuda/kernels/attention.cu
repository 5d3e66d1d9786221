// Causal attention over the paged KV cache for blocks of up to 16 rows of one sequence (prefill).
//
// `exact`: blocks x = query blocks, y = query heads, z = 128 columns of the result. `tensor_..`: x = query blocks, y = kv
// heads, z = groups of up to four query heads of a kv head, a warp each.

#include "shared/flash.cuh"

struct Params {
    float* result;
    const float* queries;
    const Kv* keys;
    const Kv* values;
    Pages pages;
    // First row and number of rows.
    const uint2* blocks;
    u32 query_heads;
    u32 kv_heads;
    u32 head_size;
    float scale;
};

struct Paged {
    typedef Kv Element;
    const Params& p;
    u32 size;
    u32 keys;
    float scale;
    u32 first;
    u32 count;
    u32 kv_head;
    // The query head of tile 0, and how many tiles there are.
    u32 head;
    u32 heads;
    Table table;

    INLINE Paged(const Params& p, u32 kv_head, u32 head, u32 heads)
        : p(p), size(p.head_size), keys(0), scale(p.scale), first(p.blocks[blockIdx.x].x),
          count(min(p.blocks[blockIdx.x].y, FLASH_ROWS)), kv_head(kv_head), head(head), heads(heads),
          table(p.pages.of_row(first)) {
        for (u32 r = 0; r < count; r++) {
            keys = max(keys, p.pages.keys_of(first + r));
        }
    }

    INLINE u64 at(u32 tile, u32 row, u32 e) const {
        return ((u64)(first + row) * p.query_heads + head + tile) * size + e;
    }

    INLINE float query(u32 tile, u32 row, u32 e) const {
        return p.queries[at(tile, row, e)];
    }

    INLINE u32 keys_of(u32 tile, u32 row) const {
        return tile < heads && row < count ? p.pages.keys_of(first + row) : 0;
    }

    // Number of the head of a key in the cache.
    INLINE u64 number(u32 key) const {
        return (u64)table.slot(key) * p.kv_heads + kv_head;
    }

    INLINE const Kv* key(u32 key) const {
        return row_of_head(p.keys, number(key), size);
    }

    INLINE const Kv* value(u32 key) const {
        return row_of_head(p.values, number(key), size);
    }

    INLINE void store(u32 tile, u32 row, u32 e, float v) const {
        p.result[at(tile, row, e)] = v;
    }
};

ENTRY(exact, 128) {
    u32 head = blockIdx.y;
    flash_exact(Paged(p, head / (p.query_heads / p.kv_heads), head, 1), blockIdx.z * EXACT_COLUMNS);
}

#ifndef KV_F32
template <u32 D>
INLINE void tensor(const Params& p) {
    u32 group = p.query_heads / p.kv_heads;
    u32 warps = blockDim.x / WARP;
    u32 first = blockIdx.z * warps;
    flash_tensor<D>(Paged(p, blockIdx.y, blockIdx.y * group + first, min(warps, group - first)));
}

ENTRY(tensor_64, 128) { tensor<64>(p); }
ENTRY(tensor_128, 128) { tensor<128>(p); }
#endif
