// Adds position embeddings; with a class token, puts it in front of each tile. One thread an element.

#include "shared/element.cuh"

struct Params {
    float* result;
    const float* x;
    const void* table;
    // Null where there is no class token.
    const void* class_token;
    u32 elements;
    u32 width;
    // Rows of a tile in the result.
    u32 rows;
    // Elements from one row of the table to the next, its type and that of the class token.
    u32 stride;
    u32 dtype;
    u32 class_dtype;
};

ENTRY(position_embed, 256) {
    u64 i = thread_number();
    if (i >= p.elements) {
        return;
    }
    u32 column = i % p.width;
    u32 row = (i / p.width) % p.rows;
    u64 tile = i / ((u64)p.width * p.rows);
    u32 with_class = p.class_token != nullptr;
    // Row 0 of the table is the class token's.
    u32 position = row + 1 - with_class;
    float offset = element(p.dtype, p.table, (u64)position * p.stride + column);
    if (position == 0) {
        p.result[i] = element(p.class_dtype, p.class_token, column) + offset;
    } else {
        p.result[i] = p.x[(tile * (p.rows - with_class) + position - 1) * p.width + column] + offset;
    }
}
