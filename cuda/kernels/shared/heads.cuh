// Where queries, keys and values lie in a row of the qkv projection.

#pragma once
#include "shared/base.cuh"

enum Part { QUERY, KEY, VALUE };

// A run of head-size columns: whose it is.
struct Slot {
    Part part;
    u32 head;
};

// Slot number `slot` of a row, either all queries, all keys, all values, or grouped by kv head (its queries, key, value).
INLINE Slot slot_of(u32 slot, u32 query_heads, u32 kv_heads, bool concatenated) {
    if (concatenated) {
        if (slot < query_heads) {
            return {QUERY, slot};
        }
        u32 rest = slot - query_heads;
        return {rest < kv_heads ? KEY : VALUE, rest % kv_heads};
    }
    u32 group = query_heads / kv_heads;
    u32 head = slot / (group + 2);
    u32 within = slot % (group + 2);
    if (within < group) {
        return {QUERY, head * group + within};
    }
    return {within == group ? KEY : VALUE, head};
}
