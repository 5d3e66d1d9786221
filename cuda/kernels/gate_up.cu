// silu(x·Gᵀ) * (x·Uᵀ), perhaps routed, perhaps with RMSNorm before: the upper half of the MMoE FFN. A pair is a gate and its up.

#include "shared/math.cuh"
#include "shared/project.cuh"

struct Params {
    Project project;
    float* result;
    const Weight* gate[2];
    const Weight* up[2];
    u32 width;
};

struct GateUp {
    static INLINE u32 column(u32 pair, bool second) {
        return pair;
    }

    static INLINE u32 pairs(const Params& p) {
        return p.width;
    }

    static INLINE u32 row(const Params& p, u32 pair, bool second) {
        return pair;
    }

    static INLINE const Weight* matrix(const Params& p, bool is_visual, bool second) {
        return second ? p.up[is_visual] : p.gate[is_visual];
    }

    static INLINE void finish(const Params& p, bool is_visual, u32 row, u32 pair, float gate, float up) {
        p.result[(u64)row * p.width + pair] = silu(gate) * up;
    }
};

PROJECTION_ENTRIES(GateUp)
