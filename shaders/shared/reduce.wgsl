// Sums over a workgroup of 256 threads.

var<workgroup> terms: array<f32, 256>;

// The sum of every thread's value, the same for all.
fn sum(thread: u32, value: f32) -> f32 {
    workgroupBarrier();
    terms[thread] = value;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            terms[thread] += terms[thread + half];
        }
    }
    workgroupBarrier();
    return terms[0];
}
