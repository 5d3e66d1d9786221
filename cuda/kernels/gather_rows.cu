// The rows whose next token is wanted. One thread an element.

#include "shared/base.cuh"

struct Params {
    float* result;
    const float* x;
    const u32* rows;
    u32 elements;
    u32 width;
};

ENTRY(gather_rows, 256) {
    u64 i = thread_number();
    if (i < p.elements) {
        p.result[i] = p.x[(u64)p.rows[i / p.width] * p.width + i % p.width];
    }
}
