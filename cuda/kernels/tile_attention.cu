// Attention without a mask among the rows of each tile.
//
// `exact`: blocks x = 16 rows of a tile, y = heads, z = 128 columns of the result. `tensor_..`: x = 64 rows of a tile, four
// warps, y = heads.

#include "shared/flash.cuh"

struct Params {
    float* result;
    const float* qkv;
    // Rows of a tile, width of the result, head size, blocks of a tile.
    u32 rows;
    u32 width;
    u32 head_size;
    u32 blocks;
    float scale;
};

struct Tile {
    typedef float Element;
    const Params& p;
    u32 size;
    u32 keys;
    float scale;
    // Of the image tile, and of the block in it.
    u64 first;
    u32 within;

    INLINE Tile(const Params& p, u32 rows_a_block)
        : p(p), size(p.head_size), keys(p.rows), scale(p.scale), first((u64)(blockIdx.x / p.blocks) * p.rows),
          within(blockIdx.x % p.blocks * rows_a_block) {}

    INLINE const float* part(u64 row, u32 which) const {
        return p.qkv + (row * 3 + which) * p.width + blockIdx.y * size;
    }

    INLINE u32 row_of(u32 tile, u32 row) const {
        return within + tile * FLASH_ROWS + row;
    }

    INLINE float query(u32 tile, u32 row, u32 e) const {
        return part(first + row_of(tile, row), 0)[e];
    }

    INLINE u32 keys_of(u32 tile, u32 row) const {
        return row_of(tile, row) < p.rows ? p.rows : 0;
    }

    INLINE const float* key(u32 key) const {
        return part(first + key, 1);
    }

    INLINE const float* value(u32 key) const {
        return part(first + key, 2);
    }

    INLINE void store(u32 tile, u32 row, u32 e, float v) const {
        p.result[(first + row_of(tile, row)) * p.width + blockIdx.y * size + e] = v;
    }
};

ENTRY(exact, 128) { flash_exact(Tile(p, FLASH_ROWS), blockIdx.z * EXACT_COLUMNS); }
ENTRY(tensor_64, 128) { flash_tensor<64>(Tile(p, 4 * FLASH_ROWS)); }
ENTRY(tensor_128, 128) { flash_tensor<128>(Tile(p, 4 * FLASH_ROWS)); }
