// RMSNorm, (routed) qkv projection, RoPE and KV write in one. A pair is the elements e and e + d/2 of a head.

#include "shared/project.cuh"
#include "shared/rotate.cuh"

struct Params {
    Project project;
    Rotation rotation;
    const Weight* weights[2];
    const float* bias[2];
};

struct QkvRope {
    static INLINE u32 half(const Params& p) {
        return p.rotation.head_size / 2;
    }

    static INLINE u32 pairs(const Params& p) {
        return (p.rotation.query_heads + 2 * p.rotation.kv_heads) * half(p);
    }

    static INLINE u32 row(const Params& p, u32 pair, bool second) {
        return pair / half(p) * p.rotation.head_size + pair % half(p) + (second ? half(p) : 0);
    }

    // The planner makes no identity expert here.
    static INLINE u32 column(u32 pair, bool second) {
        return 0;
    }

    static INLINE const Weight* matrix(const Params& p, bool is_visual, bool second) {
        return p.weights[is_visual];
    }

    static INLINE void finish(const Params& p, bool is_visual, u32 row, u32 pair, float a, float b) {
        const float* bias = p.bias[is_visual];
        if (bias != nullptr) {
            a += bias[QkvRope::row(p, pair, false)];
            b += bias[QkvRope::row(p, pair, true)];
        }
        rotate_and_store(p.rotation, row, pair, a, b);
    }
};

PROJECTION_ENTRIES(QkvRope)
