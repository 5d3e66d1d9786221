// Exact GELU. One thread an element.

#include "shared/math.cuh"

struct Params {
    float* result;
    const float* x;
    u32 elements;
};

ENTRY(gelu, 256) {
    u64 i = thread_number();
    if (i < p.elements) {
        p.result[i] = gelu(p.x[i]);
    }
}
