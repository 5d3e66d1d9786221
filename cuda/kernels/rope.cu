// Rotates queries and keys and writes keys and values into the KV pool. One thread a pair (e, e + d/2) of a head.

#include "shared/rotate.cuh"

struct Params {
    Rotation rotation;
    const float* qkv;
    // Rows times half the width of a qkv row.
    u32 pairs;
};

ENTRY(rope, 256) {
    u64 i = thread_number();
    if (i >= p.pairs) {
        return;
    }
    const Rotation& r = p.rotation;
    u32 half = r.head_size / 2;
    u32 a_row = (r.query_heads + 2 * r.kv_heads) * half;
    u32 row = i / a_row, pair = i % a_row;
    const float* from = p.qkv + ((u64)row * a_row + pair / half * half) * 2 + pair % half;
    rotate_and_store(r, row, pair, from[0], from[half]);
}
