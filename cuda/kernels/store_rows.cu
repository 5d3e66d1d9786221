// Writes the tokens of each tile into a state, from a first slot per tile on. One thread an element.

#include "shared/base.cuh"

struct Params {
    float* state;
    const float* x;
    const u32* first_slots;
    u32 elements;
    // Elements of a tile and of a token.
    u32 tile;
    u32 width;
};

ENTRY(store_rows, 256) {
    u64 i = thread_number();
    if (i < p.elements) {
        p.state[(u64)p.first_slots[i / p.tile] * p.width + i % p.tile] = p.x[i];
    }
}
