// Rotates queries and keys and writes keys and values into the KV pool.
//
// `rope`: one thread a pair (e, e + d/2) of a head. `rope_eight`: keys and values in 8 bits; one warp a head, whose largest
// element gives the factor of its integers, four warps a block.

#include "shared/eight.cuh"
#include "shared/rotate.cuh"

struct Params {
    Rotation rotation;
    const float* qkv;
    // Of all rows: pairs, or heads (those of queries, keys and values).
    u32 count;
};

ENTRY(rope, 256) {
    u64 i = thread_number();
    if (i >= p.count) {
        return;
    }
    const Rotation& r = p.rotation;
    u32 half = r.head_size / 2;
    u32 a_row = (r.query_heads + 2 * r.kv_heads) * half;
    u32 row = i / a_row, pair = i % a_row;
    const float* from = p.qkv + ((u64)row * a_row + pair / half * half) * 2 + pair % half;
    rotate_and_store(r, row, pair, from[0], from[half]);
}

// Element e of a head, rotated.
INLINE float rotated(const float* head, const float* angles, u32 half, u32 e) {
    float cosine = angles[e % half], sine = angles[half + e % half];
    return e < half ? head[e] * cosine - head[e + half] * sine : head[e] * cosine + head[e - half] * sine;
}

ENTRY(rope_eight, 128) {
    const Rotation& r = p.rotation;
    u64 i = block_number() * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (i >= p.count) {
        return;
    }
    u32 d = r.head_size, lane = threadIdx.x % WARP;
    u32 slots = r.query_heads + 2 * r.kv_heads;
    u64 row = i / slots;
    Slot slot = slot_of(i % slots, r.query_heads, r.kv_heads, r.concatenated);
    const float* head = p.qkv + i * d;
    const float* angles = r.angles + row * d;
    if (slot.part == QUERY) {
        float* to = r.result + (row * r.query_heads + slot.head) * d;
        for (u32 e = lane; e < d; e += WARP) {
            to[e] = rotated(head, angles, d / 2, e);
        }
        return;
    }
    auto element = [&](u32 e) { return slot.part == KEY ? rotated(head, angles, d / 2, e) : head[e]; };
    // The bits of magnitudes are in their order, with NaN above infinity: nothing that is not finite is passed over.
    u32 most = 0;
    for (u32 e = lane; e < d; e += WARP) {
        most = max(most, __float_as_uint(element(e)) & 0x7fffffffu);
    }
    for (u32 step = WARP / 2; step > 0; step /= 2) {
        most = max(most, __shfl_xor_sync(0xffffffffu, most, step));
    }
    float largest = __uint_as_float(most);
    float inverse = largest > 0.0f ? MOST / largest : 0.0f;
    u32 words = record_words(d);
    u32* record = (u32*)(slot.part == KEY ? r.keys : r.values) + ((u64)r.rows[row].y * r.kv_heads + slot.head) * words;
    for (u32 w = lane; w < words; w += WARP) {
        float four[4];
        for (u32 j = 0; j < 4; j++) {
            u32 e = (w - 1) * 4 + j;
            four[j] = w > 0 && e < d ? element(e) * inverse : 0.0f;
        }
        record[w] = w == 0 ? __float_as_uint(largest / MOST) : pack_four(four);
    }
}
