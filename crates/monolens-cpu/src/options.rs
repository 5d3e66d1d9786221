//! What a user may choose.

/// How products with weights are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// f32 activations, weights as stored, sums in f32: the reference.
    Exact,
    /// Where weights are bf16 and the CPU multiplies pairs of bf16 (AVX512-BF16), activations are rounded to bf16 for
    /// products with several rows; sums stay f32. With AVX2 alone, rows are rounded to integers of 16 bits for products
    /// with weights of 8 or 4 bits. Elsewhere the same as [`Arithmetic::Exact`].
    #[default]
    Fast,
}

/// Options of [`crate::CpuBackend`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuOptions {
    /// Threads; `None` is one a core.
    pub threads: Option<usize>,
    /// How products with weights are computed.
    pub arithmetic: Arithmetic,
}
