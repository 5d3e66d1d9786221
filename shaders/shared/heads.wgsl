// Where queries, keys and values lie in a row of the qkv projection.

const QUERY: u32 = 0u;
const KEY: u32 = 1u;
const VALUE: u32 = 2u;

// A run of head-size columns: what it is, and of which head.
struct Slot {
    part: u32,
    head: u32,
}

// Slot number `slot` of a row: all queries, all keys, all values; or grouped by kv head (its queries, key, value).
fn slot_of(slot: u32, query_heads: u32, kv_heads: u32, concatenated: bool) -> Slot {
    if concatenated {
        if slot < query_heads {
            return Slot(QUERY, slot);
        }
        return Slot(KEY + (slot - query_heads) / kv_heads, (slot - query_heads) % kv_heads);
    }
    let group = query_heads / kv_heads;
    let within = slot % (group + 2u);
    let head = slot / (group + 2u);
    if within < group {
        return Slot(QUERY, head * group + within);
    }
    return Slot(KEY + within - group, head);
}
