// y = x·Wᵀ (+ bias), perhaps routed; perhaps with RMSNorm before, GELU and residual after.

#include "shared/math.cuh"
#include "shared/project.cuh"

struct Params {
    Project project;
    float* result;
    const Weight* weights[2];
    const float* bias[2];
    // Null: none.
    const float* scale;
    const float* residual;
    u32 width;
    u32 gelu;
};

struct Linear {
    // Pairs are columns 64 apart, so that a tile is 128 neighbouring columns.
    static INLINE u32 column(u32 pair, bool second) {
        return pair / TILE_PAIRS * 2 * TILE_PAIRS + pair % TILE_PAIRS + (second ? TILE_PAIRS : 0);
    }

    static INLINE u32 pairs(const Params& p) {
        u32 rest = p.width % (2 * TILE_PAIRS);
        return p.width / (2 * TILE_PAIRS) * TILE_PAIRS + min(rest, TILE_PAIRS);
    }

    static INLINE u32 row(const Params& p, u32 pair, bool second) {
        u32 at = column(pair, second);
        return at < p.width ? at : NO_ROW;
    }

    static INLINE const Weight* matrix(const Params& p, bool is_visual, bool second) {
        return p.weights[is_visual];
    }

    static INLINE void finish_one(const Params& p, bool is_visual, u32 row, u32 column, float y) {
        if (column >= p.width) {
            return;
        }
        if (p.bias[is_visual] != nullptr) {
            y += p.bias[is_visual][column];
        }
        if (p.gelu) {
            y = gelu(y);
        }
        if (p.scale != nullptr) {
            y *= p.scale[column];
        }
        u64 at = (u64)row * p.width + column;
        if (p.residual != nullptr) {
            y += p.residual[at];
        }
        p.result[at] = y;
    }

    static INLINE void finish(const Params& p, bool is_visual, u32 row, u32 pair, float a, float b) {
        finish_one(p, is_visual, row, column(pair, false), a);
        finish_one(p, is_visual, row, column(pair, true), b);
    }
};

PROJECTION_ENTRIES(Linear)
