// The weights of a block of many rows on their way to the tensor cores: tiles of bf16 in shared memory, one for each step.
//
// `fill` begins to bring what a step needs, `tile` is where it lies then. Weights of bf16 are copied as they are. What else is a
// float becomes bf16 on the way. Integers are copied as they are too; `decode` makes their tile, one step before it is needed
// and after it has been waited for.

#pragma once
#include "shared/projection.cuh"

// Columns of x in a step, in elements and in 16-byte pieces; steps that are loaded ahead.
constexpr u32 DEPTH = 32;
constexpr u32 PIECES = DEPTH / 8;
constexpr u32 STAGES = 4;
constexpr u32 TILE_PAIRS = 64;

// Where a 16-byte piece of a tile's row lies: rows are 64 bytes, and pieces are exchanged so that the eight rows of a matrix
// lie in different banks.
INLINE u32 piece_at(u32 row, u32 piece) {
    return row * DEPTH + (piece ^ (row / 2 % PIECES)) * 8;
}

// Eight numbers as a term in bf16, to a place aligned to 16 bytes.
INLINE void store_term(u16* to, const float v[8], u32 term) {
    u32 words[4];
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        words[i] = term == 0 ? bf16_pair(v[2 * i], v[2 * i + 1])
                             : (u32)bf16_term(v[2 * i], term) | ((u32)bf16_term(v[2 * i + 1], term) << 16);
    }
    *(uint4*)to = make_uint4(words[0], words[1], words[2], words[3]);
}

#if defined(WEIGHT_Q8) || defined(WEIGHT_Q4)

template <class Policy, u32 THREADS, class Params>
class WeightTiles {
    static constexpr u32 ROWS = 2 * TILE_PAIRS;
    // Words of a row in a step.
    static constexpr u32 WORDS = PIECES * Bits::WORDS;
    static constexpr u32 TILE_BYTES = ROWS * DEPTH * 2, RAW_BYTES = ROWS * WORDS * 4;
    // Pieces of eight elements that a thread decodes in a step, always those of the same rows.
    static constexpr u32 MINE = ROWS * PIECES / THREADS;

    const Params& p;
    const Weight* matrices[2];
    u32 first_pair, steps;
    u16* tiles;
    u32* raw;
    // The first scale of each row of this thread; NO_ROW where there is no row.
    u32 scales[MINE];
    // The scales and the term of the step that is decoded next.
    float next[MINE];

    INLINE u32 row(u32 of_tile) const {
        u32 pair = first_pair + of_tile % TILE_PAIRS;
        return pair < Policy::pairs(p) ? Policy::row(p, pair, of_tile >= TILE_PAIRS) : NO_ROW;
    }

    INLINE void load_scales(u32 step) {
        const Groups& g = p.project.matrices.groups;
        u32 group = step % steps * DEPTH / g.size;
#pragma unroll
        for (u32 n = 0; n < MINE; n++) {
            bool second = (threadIdx.x + n * THREADS) / PIECES >= TILE_PAIRS;
            next[n] = scales[n] == NO_ROW ? 0.0f : scale_of(g, matrices[second], (u64)scales[n] + group);
        }
    }

public:
    static constexpr u32 BYTES = 2 * TILE_BYTES + STAGES * RAW_BYTES;
    // Steps that must have come before their turn.
    static constexpr u32 AHEAD = 1;

    INLINE WeightTiles(const Params& p, bool is_visual, u32 first_pair, void* memory)
        : p(p), first_pair(first_pair), steps(p.project.depth / DEPTH) {
        tiles = (u16*)memory;
        raw = (u32*)(tiles + TILE_BYTES);
        matrices[0] = Policy::matrix(p, is_visual, false);
        matrices[1] = Policy::matrix(p, is_visual, true);
        u32 groups = p.project.matrices.stride / p.project.matrices.groups.size;
#pragma unroll
        for (u32 n = 0; n < MINE; n++) {
            u32 at = row((threadIdx.x + n * THREADS) / PIECES);
            scales[n] = at == NO_ROW ? NO_ROW : at * groups;
        }
        load_scales(0);
    }

    INLINE void fill(u32 step, u32 column, u32) {
        u32* to = raw + step % STAGES * (RAW_BYTES / 4);
        for (u32 i = threadIdx.x; i < RAW_BYTES / 16; i += THREADS) {
            u32 of_tile = i / (WORDS / 4), at = row(of_tile);
            const u32* from = row_of(p.project.matrices, matrices[of_tile >= TILE_PAIRS], at == NO_ROW ? 0 : at).words;
            copy_async(to + i * 4, from + column / 8 * Bits::WORDS + i % (WORDS / 4) * 4, at != NO_ROW);
        }
    }

    // Before the first step; all are there after a barrier.
    INLINE void begin() {
        copies_wait<STAGES - 2>();
        __syncthreads();
        decode(0);
    }

    INLINE void decode(u32 step) {
        u32 product = step / steps;
        u32 term = p.project.products[product / 4] >> (product % 4 * 8 + 4) & 15u;
        const u32* from = raw + step % STAGES * (RAW_BYTES / 4);
        u16* to = tiles + step % 2 * (TILE_BYTES / 2);
#pragma unroll
        for (u32 n = 0; n < MINE; n++) {
            u32 i = threadIdx.x + n * THREADS;
            float v[8];
            Bits::widen(from + i * Bits::WORDS, v);
#pragma unroll
            for (u32 e = 0; e < 8; e++) {
                v[e] = (v[e] - Bits::OFFSET) * next[n];
            }
            store_term(to + piece_at(i / PIECES, i % PIECES), v, term);
        }
        load_scales(step + 1);
    }

    INLINE const u16* tile(u32 step) const {
        return tiles + step % 2 * (TILE_BYTES / 2);
    }
};

#else

template <class Policy, u32 THREADS, class Params>
class WeightTiles {
    static constexpr u32 ROWS = 2 * TILE_PAIRS;

    const Params& p;
    // Read from the parameters once: a choice between them for each piece makes NVRTC 13.0 crash.
    const Weight* matrices[2];
    u32 first_pair;
    u16* tiles;

    static INLINE void fill_piece(u16* to, const Bf16* from, u32, bool present) {
        copy_async(to, from, present);
    }

    template <class T>
    static INLINE void fill_piece(u16* to, const T* from, u32 term, bool present) {
        float v[8] = {};
        if (present) {
            load_8(from, v);
        }
        store_term(to, v, term);
    }

public:
    static constexpr u32 BYTES = STAGES * ROWS * DEPTH * 2;
    static constexpr u32 AHEAD = 0;

    INLINE WeightTiles(const Params& p, bool is_visual, u32 first_pair, void* memory)
        : p(p),
          matrices{Policy::matrix(p, is_visual, false), Policy::matrix(p, is_visual, true)},
          first_pair(first_pair),
          tiles((u16*)memory) {}

    INLINE void fill(u32 step, u32 column, u32 term) {
        const Matrices& m = p.project.matrices;
        u16* to = tiles + step % STAGES * ROWS * DEPTH;
        for (u32 i = threadIdx.x; i < ROWS * PIECES; i += THREADS) {
            u32 of_tile = i / PIECES, piece = i % PIECES, k = column + piece * 8;
            bool second = of_tile >= TILE_PAIRS;
            u32 pair = first_pair + of_tile % TILE_PAIRS;
            u32 row = pair < Policy::pairs(p) && k < m.stride ? Policy::row(p, pair, second) : NO_ROW;
            bool present = row != NO_ROW;
            Row from = row_of(m, second ? matrices[1] : matrices[0], present ? row : 0);
            fill_piece(to + piece_at(of_tile, piece), from.at + (present ? k : 0), term, present);
        }
    }

    INLINE void begin() {}

    INLINE void decode(u32) {}

    INLINE const u16* tile(u32 step) const {
        return tiles + step % STAGES * ROWS * DEPTH;
    }
};

#endif
