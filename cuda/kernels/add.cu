// y = a + b. One thread an element.

#include "shared/base.cuh"

struct Params {
    float* result;
    const float* a;
    const float* b;
    u32 elements;
};

ENTRY(add, 256) {
    u64 i = thread_number();
    if (i < p.elements) {
        p.result[i] = p.a[i] + p.b[i];
    }
}
