// Tensor cores and asynchronous copies (compute capability 8.0 and up).
//
// A fragment of a 16 x 16 tile of bf16 is four words a lane: rows lane / 4 and lane / 4 + 8, columns 2 * (lane % 4) and the
// one after, then the same eight columns on.

#pragma once
#include "shared/base.cuh"

// c += a * b: a is 16 rows by 16, b is 16 by 8 columns; c holds rows lane / 4 (c[0], c[1]) and lane / 4 + 8 (c[2], c[3]),
// columns 2 * (lane % 4) and the one after.
INLINE void multiply(float c[4], const u32 a[4], const u32 b[2]) {
#ifdef MONOLENS_SHIM
    shim::multiply(c, a, b);
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Four 8 x 8 matrices from shared memory: lanes 8m .. 8m + 7 say where the rows of matrix m begin, each 16 bytes long.
INLINE void load_matrices(u32 out[4], const void* row) {
#ifdef MONOLENS_SHIM
    shim::load_matrices(out, row, false);
#else
    u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(at) : "memory");
#endif
}

// The same, each matrix transposed.
INLINE void load_matrices_transposed(u32 out[4], const void* row) {
#ifdef MONOLENS_SHIM
    shim::load_matrices(out, row, true);
#else
    u32 at = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3]) : "r"(at) : "memory");
#endif
}

// Begins to copy 16 bytes to shared memory, or to zero them where nothing is to be copied; both places aligned to 16.
INLINE void copy_async(void* to, const void* from, bool present) {
#ifdef MONOLENS_SHIM
    shim::copy_async(to, from, present);
#else
    u32 at = (u32)__cvta_generic_to_shared(to);
    u32 bytes = present ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(bytes) : "memory");
#endif
}

// Ends a group of copies.
INLINE void copies_commit() {
#ifdef MONOLENS_SHIM
    shim::copies_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until this thread's copies are done but for the last PENDING groups; others see them after a barrier.
template <int PENDING>
INLINE void copies_wait() {
#ifdef MONOLENS_SHIM
    shim::copies_wait(PENDING);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
#endif
}
