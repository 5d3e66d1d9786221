// Token embeddings, or visual embeddings for rows that stand for an image patch. One thread an element.

#include "shared/grouped.cuh"

struct Params {
    float* result;
    const void* table;
    const uint4* rows;
    // Null where there is nothing visual.
    const u32* visual_rows;
    const float* visual;
    u32 elements;
    u32 width;
    // Elements from one row of the table to the next, and its type.
    u32 stride;
    u32 dtype;
    Groups groups;
};

constexpr u32 NO_VISUAL = 0xffffffffu;

ENTRY(embed, 256) {
    u64 i = thread_number();
    if (i >= p.elements) {
        return;
    }
    u64 row = i / p.width;
    u32 column = i % p.width;
    u32 slot = p.visual_rows == nullptr ? NO_VISUAL : p.visual_rows[row];
    if (slot == NO_VISUAL) {
        p.result[i] = element_of(p.groups, p.dtype, p.table, p.stride, p.rows[row].x, column);
    } else {
        p.result[i] = p.visual[(u64)slot * p.width + column];
    }
}
