// RoPE and the KV write, for `rope` and `qkv_rope`.

#pragma once
#include "shared/element.cuh"
#include "shared/heads.cuh"

// What both kernels have among their parameters.
struct Rotation {
    float* result;
    void* keys;
    void* values;
    // Token id, KV slot, position, sequence.
    const uint4* rows;
    // Of each row: head_size / 2 cosines, as many sines.
    const float* angles;
    u32 query_heads;
    u32 kv_heads;
    u32 head_size;
    u32 concatenated;
    u32 kv_bf16;
};

INLINE void store_pair(void* to, bool bf16, u64 at, u32 half, float low, float high) {
    if (bf16) {
        store((Bf16*)to + at, low);
        store((Bf16*)to + at + half, high);
    } else {
        store((float*)to + at, low);
        store((float*)to + at + half, high);
    }
}

// Rotates and stores elements e and e + d/2 of a slot, e = pair % (d/2), slot = pair / (d/2).
INLINE void rotate_and_store(const Rotation& r, u32 row, u32 pair, float low, float high) {
    u32 d = r.head_size, half = d / 2;
    u32 e = pair % half;
    Slot slot = slot_of(pair / half, r.query_heads, r.kv_heads, r.concatenated);
    if (slot.part != VALUE) {
        float cosine = r.angles[(u64)row * d + e];
        float sine = r.angles[(u64)row * d + half + e];
        float a = low, b = high;
        low = a * cosine - b * sine;
        high = b * cosine + a * sine;
    }
    if (slot.part == QUERY) {
        store_pair(r.result, false, ((u64)row * r.query_heads + slot.head) * d + e, half, low, high);
        return;
    }
    u64 at = ((u64)r.rows[row].y * r.kv_heads + slot.head) * d + e;
    store_pair(slot.part == KEY ? r.keys : r.values, r.kv_bf16, at, half, low, high);
}
