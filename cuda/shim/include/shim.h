// CUDA kernels as C++: runs the blocks of a launch on the CPU, one fiber a CUDA thread.
//
// Barriers, full-mask shuffles, tensor-core fragments and asynchronous copies behave as on the device, as far as one core can
// show it. To find what only parallel threads would, `order` changes from launch to launch the order in which threads run
// between barriers, and whether an asynchronous copy happens when it is begun or only when it is waited for: results must not
// depend on either. Shared memory ends at a page that cannot be touched.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <utility>
#include <vector>

#ifndef __x86_64__
#error "fibers are switched in x86-64 assembly"
#endif

#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __restrict__ __restrict
#define __shared__ static thread_local
#define __align__(n) alignas(n)

struct alignas(8) uint2 { u32 x, y; };
struct alignas(16) uint4 { u32 x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline u32 __float_as_uint(float v) { u32 b; memcpy(&b, &v, 4); return b; }
inline float __uint_as_float(u32 b) { float v; memcpy(&v, &b, 4); return v; }
inline float rsqrtf(float v) { return 1.0f / sqrtf(v); }
template <class T> T __ldg(const T* p) { return *p; }
using std::max;
using std::min;

namespace shim {

struct Dim { u32 x, y, z; };

// As `Launch` in the Rust side of the shim.
struct Launch {
    const void* params;
    u64 params_bytes;
    u32 grid[3];
    u32 threads;
    u32 shared_bytes;
    u32 order;
    // Blocks of this call.
    u64 first, count;
};

enum Fault { NONE = 0, DIVERGENCE = 1, PARAMS = 2, THREADS = 3 };

enum Waits { RUNS, FOR_BLOCK, FOR_WARP, DONE };

struct Copy { char* to; const char* from; bool present; };

struct Fiber {
    void* sp;
    char* stack;
    Waits waits;
    u32 products;
    std::vector<std::vector<Copy>> copies;
};

struct Warp {
    u64 exchange[32];
    u32 a[32][4], b[32][2];
    float product[16][8];
    u32 products;
};

struct Machine {
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    std::vector<u32> order;
    void* main_sp;
    u32 current;
    u32 threads;
    bool late_copies;
    void (*body)(const void*);
    const void* params;
    char* memory;
    size_t memory_bytes;
};

inline thread_local Machine machine;
inline thread_local Dim thread_index, block_index, block_size, grid_size;

extern "C" void monolens_shim_switch(void** save, void* load);
asm(R"(
.text
.weak monolens_shim_switch
.type monolens_shim_switch,@function
monolens_shim_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
)");

inline Fiber& self() { return machine.fibers[machine.current]; }
inline Warp& warp() { return machine.warps[machine.current / 32]; }

inline void wait(Waits kind) {
    Fiber& f = self();
    f.waits = kind;
    monolens_shim_switch(&f.sp, machine.main_sp);
}

inline void begin() {
    machine.body(machine.params);
    self().waits = DONE;
    void* unused;
    monolens_shim_switch(&unused, machine.main_sp);
    __builtin_unreachable();
}

constexpr size_t STACK = 64 << 10;

// Lets the threads of a warp run until all of them are done or wait for the block.
inline bool run_warp(u32 first) {
    Machine& m = machine;
    u32 end = std::min(first + 32, m.threads);
    for (;;) {
        for (u32 i = first; i < end; i++) {
            u32 t = first + m.order[i - first] % (end - first);
            if (m.fibers[t].waits == RUNS) {
                m.current = t;
                thread_index = {t, 0, 0};
                monolens_shim_switch(&m.main_sp, m.fibers[t].sp);
            }
        }
        u32 live = 0, for_warp = 0;
        for (u32 t = first; t < end; t++) {
            live += m.fibers[t].waits != DONE;
            for_warp += m.fibers[t].waits == FOR_WARP;
        }
        if (for_warp == 0) {
            return true;
        }
        if (for_warp != live) {
            return false;
        }
        for (u32 t = first; t < end; t++) {
            if (m.fibers[t].waits == FOR_WARP) {
                m.fibers[t].waits = RUNS;
            }
        }
    }
}

inline Fault run_block() {
    Machine& m = machine;
    while (m.fibers.size() < m.threads) {
        char* stack = (char*)aligned_alloc(64, STACK);
        m.fibers.push_back({nullptr, stack, RUNS, 0, {}});
    }
    m.warps.resize(std::max<size_t>(m.warps.size(), (m.threads + 31) / 32));
    for (u32 t = 0; t < m.threads; t++) {
        Fiber& f = m.fibers[t];
        void** s = (void**)(f.stack + STACK - 64);
        *--s = nullptr;
        *--s = (void*)begin;
        for (int i = 0; i < 6; i++) {
            *--s = nullptr;
        }
        f.sp = s;
        f.waits = RUNS;
        f.products = 0;
        f.copies.assign(1, {});
    }
    for (Warp& w : m.warps) {
        w.products = 0;
    }
    for (;;) {
        u32 warps = (m.threads + 31) / 32;
        for (u32 i = 0; i < warps; i++) {
            // The order of warps is that of threads, so that reversed is reversed.
            u32 w = m.order[0] == 0 ? i : warps - 1 - i;
            if (!run_warp(w * 32)) {
                return DIVERGENCE;
            }
        }
        u32 live = 0, waiting = 0;
        for (u32 t = 0; t < m.threads; t++) {
            live += m.fibers[t].waits != DONE;
            waiting += m.fibers[t].waits == FOR_BLOCK;
        }
        if (live == 0) {
            return NONE;
        }
        // A barrier that some thread left the block without reaching is undefined on the device unless that thread is done.
        if (waiting != live) {
            return DIVERGENCE;
        }
        for (u32 t = 0; t < m.threads; t++) {
            if (m.fibers[t].waits == FOR_BLOCK) {
                m.fibers[t].waits = RUNS;
            }
        }
    }
}

// Memory of exactly this size (to 16 bytes) before a page that cannot be touched.
inline char* shared_memory(size_t bytes) {
    Machine& m = machine;
    bytes = (bytes + 127) / 128 * 128;
    if (m.memory_bytes != bytes || m.memory == nullptr) {
        constexpr size_t PAGE = 4096;
        size_t pages = (bytes + PAGE - 1) / PAGE * PAGE;
        if (m.memory != nullptr) {
            size_t old = (m.memory_bytes + PAGE - 1) / PAGE * PAGE;
            munmap(m.memory + m.memory_bytes - old, old + PAGE);
        }
        char* base = (char*)mmap(nullptr, pages + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mprotect(base + pages, PAGE, PROT_NONE);
        m.memory = base + pages - bytes;
        m.memory_bytes = bytes;
    }
    return m.memory;
}

inline int run(const Launch* launch, void (*body)(const void*), size_t params_bytes, u32 threads) {
    Machine& m = machine;
    if (launch->params_bytes != params_bytes) {
        return PARAMS;
    }
    // A launch may have fewer threads than the kernel is bounded to, never more.
    if (launch->threads > threads) {
        return THREADS;
    }
    m.threads = launch->threads;
    m.body = body;
    m.params = launch->params;
    m.late_copies = launch->order % 2 == 0;
    m.order.resize(32);
    for (u32 i = 0; i < 32; i++) {
        m.order[i] = launch->order % 3 == 0 ? i : launch->order % 3 == 1 ? 31 - i : (i * 13 + 7) % 32;
    }
    grid_size = {launch->grid[0], launch->grid[1], launch->grid[2]};
    block_size = {launch->threads, 1, 1};
    for (u64 i = launch->first; i < launch->first + launch->count; i++) {
        u64 row = i / launch->grid[0];
        block_index = {u32(i % launch->grid[0]), u32(row % launch->grid[1]), u32(row / launch->grid[1])};
        // What a block finds in shared memory is nothing it can use: NaN.
        memset(shared_memory(launch->shared_bytes), 0xff, (launch->shared_bytes + 127) / 128 * 128);
        if (Fault fault = run_block()) {
            return fault;
        }
    }
    return NONE;
}

// Each lane publishes a value, then reads that of another.
template <class T> T shuffle(T v, u32 from) {
    static_assert(sizeof(T) <= 8, "a register");
    memcpy(&warp().exchange[machine.current % 32], &v, sizeof(T));
    wait(FOR_WARP);
    T out;
    memcpy(&out, &warp().exchange[from % 32], sizeof(T));
    wait(FOR_WARP);
    return out;
}

inline void multiply(float c[4], const u32 a[4], const u32 b[2]) {
    Warp& w = warp();
    u32 lane = machine.current % 32;
    memcpy(w.a[lane], a, sizeof(w.a[lane]));
    memcpy(w.b[lane], b, sizeof(w.b[lane]));
    u32 number = ++self().products;
    wait(FOR_WARP);
    // The first lane to come here multiplies for all.
    if (w.products != number) {
        w.products = number;
        float fa[16][16], fb[16][8];
        for (u32 l = 0; l < 32; l++) {
            for (u32 i = 0; i < 4; i++) {
                for (u32 h = 0; h < 2; h++) {
                    fa[l / 4 + 8 * (i % 2)][2 * (l % 4) + h + 8 * (i / 2)] = __uint_as_float(h ? w.a[l][i] & 0xffff0000u : w.a[l][i] << 16);
                }
            }
            for (u32 i = 0; i < 2; i++) {
                for (u32 h = 0; h < 2; h++) {
                    fb[2 * (l % 4) + h + 8 * i][l / 4] = __uint_as_float(h ? w.b[l][i] & 0xffff0000u : w.b[l][i] << 16);
                }
            }
        }
        for (u32 r = 0; r < 16; r++) {
            float sums[8] = {};
            for (u32 k = 0; k < 16; k++) {
                for (u32 n = 0; n < 8; n++) {
                    sums[n] += fa[r][k] * fb[k][n];
                }
            }
            memcpy(w.product[r], sums, sizeof(sums));
        }
    }
    for (u32 i = 0; i < 4; i++) {
        c[i] += w.product[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
    }
    wait(FOR_WARP);
}

inline void load_matrices(u32 out[4], const void* row, bool transposed) {
    Warp& w = warp();
    u32 lane = machine.current % 32;
    w.exchange[lane] = (u64)row;
    wait(FOR_WARP);
    for (u32 m = 0; m < 4; m++) {
        u16 pair[2];
        for (u32 h = 0; h < 2; h++) {
            u32 r = lane / 4, c = 2 * (lane % 4) + h;
            if (transposed) {
                std::swap(r, c);
            }
            const u16* from = (const u16*)w.exchange[8 * m + r];
            if ((u64)from % 16 != 0) {
                fprintf(stderr, "shim: a matrix row that is not aligned to 16 bytes\n");
                abort();
            }
            pair[h] = from[c];
        }
        memcpy(&out[m], pair, 4);
    }
    wait(FOR_WARP);
}

inline void copy_now(const Copy& c) {
    if (c.present) {
        memcpy(c.to, c.from, 16);
    } else {
        memset(c.to, 0, 16);
    }
}

inline void copy_async(void* to, const void* from, bool present) {
    // Also where nothing is copied: a GPU looks at the address first.
    if ((u64)to % 16 != 0 || (u64)from % 16 != 0) {
        fprintf(stderr, "shim: an asynchronous copy that is not aligned to 16 bytes\n");
        abort();
    }
    Copy copy = {(char*)to, (const char*)from, present};
    if (machine.late_copies) {
        self().copies.back().push_back(copy);
    } else {
        copy_now(copy);
    }
}

inline void copies_commit() { self().copies.emplace_back(); }

inline void copies_wait(size_t pending) {
    auto& groups = self().copies;
    // The last group is the one being filled.
    while (groups.size() > pending + 1) {
        for (const Copy& c : groups.front()) {
            copy_now(c);
        }
        groups.erase(groups.begin());
    }
}

inline float f16_to_f32(u16 bits) {
    _Float16 v;
    memcpy(&v, &bits, 2);
    return (float)v;
}

}  // namespace shim

#define threadIdx (shim::thread_index)
#define blockIdx (shim::block_index)
#define blockDim (shim::block_size)
#define gridDim (shim::grid_size)

inline void __syncthreads() { shim::wait(shim::FOR_BLOCK); }
inline void __syncwarp() { shim::wait(shim::FOR_WARP); }
template <class T> T __shfl_xor_sync(u32, T v, u32 mask) { return shim::shuffle(v, (shim::machine.current % 32) ^ mask); }
template <class T> T __shfl_sync(u32, T v, u32 lane) { return shim::shuffle(v, lane); }
template <class T> T __shfl_down_sync(u32, T v, u32 by) {
    u32 lane = shim::machine.current % 32;
    return shim::shuffle(v, lane + by < 32 ? lane + by : lane);
}

#define ENTRY(name, threads)                                                                       \
    static void name##_body(const Params& p);                                                      \
    extern "C" int name(const shim::Launch* launch) {                                              \
        return shim::run(launch, [](const void* params) { name##_body(*(const Params*)params); },  \
                         sizeof(Params), threads);                                                 \
    }                                                                                              \
    static void name##_body(const Params& p)
#define SHARED_BYTES(name) unsigned char* name = (unsigned char*)shim::shared_memory(shim::machine.memory_bytes)
