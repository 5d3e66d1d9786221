use super::{Check, Inferred, Operator};
use crate::{Axis, DType, GraphError, Shape, Source, eight};

/// Numbers of attention heads and their size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Query heads H.
    pub query: usize,
    /// Key/value heads K; query head j uses kv head `j / (H/K)`.
    pub kv: usize,
    /// Head size d, even.
    pub size: usize,
}

impl Heads {
    /// Query heads per kv head.
    pub fn group(&self) -> usize {
        self.query / self.kv
    }

    /// Width of a row of all query heads.
    pub fn query_width(&self) -> usize {
        self.query * self.size
    }

    /// Width of a row of all key (or value) heads.
    pub fn kv_width(&self) -> usize {
        self.kv * self.size
    }

    /// Width of a row of all key (or value) heads in a state of this type.
    pub fn cache_width(&self, dtype: DType) -> usize {
        match dtype {
            DType::I8 => self.kv * eight::bytes(self.size),
            _ => self.kv_width(),
        }
    }

    /// Bytes of that row.
    pub fn cache_bytes(&self, dtype: DType) -> usize {
        self.cache_width(dtype) * dtype.bytes()
    }

    /// Fails unless input `i` is a state that keeps the keys, or the values, of these heads.
    ///
    /// # Errors
    /// As said.
    pub fn check_cache(&self, check: &Check<'_>, i: usize) -> Result<(), GraphError> {
        let v = check.input(i);
        let shape = Shape::from([Axis::KvSlots.into(), self.cache_width(v.dtype).into()]);
        check.ensure(
            v.source == Source::State && v.dtype != DType::U32 && v.shape == shape,
            format!("input {i} ({})", v.name),
            format!("a state of floats or i8 {shape}"),
            format!("{:?} of {} {}", v.source, v.dtype, v.shape),
        )
    }

    /// Width of a row of queries, keys and values.
    pub fn qkv_width(&self) -> usize {
        (self.query + 2 * self.kv) * self.size
    }

    /// Fails unless the numbers fit one another.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self, check: &Check<'_>) -> Result<(), GraphError> {
        let ok = self.kv > 0
            && self.query > 0
            && self.query.is_multiple_of(self.kv)
            && self.size > 0
            && self.size.is_multiple_of(2);
        check.ensure(
            ok,
            "heads",
            "a multiple of the kv heads, of an even size",
            format!("{} query heads, {} kv heads, size {}", self.query, self.kv, self.size),
        )
    }
}

/// Where queries, keys and values lie in a row of the qkv projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkvLayout {
    /// Per kv head: its query heads, its key, its value (InternLM2, spec §2).
    Grouped,
    /// All query heads, then all keys, then all values.
    Concatenated,
}

impl QkvLayout {
    /// First column of query head `head`.
    pub fn query(self, heads: &Heads, head: usize) -> usize {
        match self {
            Self::Grouped => {
                let g = heads.group();
                ((head / g) * (g + 2) + head % g) * heads.size
            }
            Self::Concatenated => head * heads.size,
        }
    }

    /// First column of the key of kv head `head`.
    pub fn key(self, heads: &Heads, head: usize) -> usize {
        match self {
            Self::Grouped => (head * (heads.group() + 2) + heads.group()) * heads.size,
            Self::Concatenated => (heads.query + head) * heads.size,
        }
    }

    /// First column of the value of kv head `head`.
    pub fn value(self, heads: &Heads, head: usize) -> usize {
        match self {
            Self::Grouped => self.key(heads, head) + heads.size,
            Self::Concatenated => (heads.query + heads.kv + head) * heads.size,
        }
    }
}

/// Rotates queries and keys (half-split RoPE, spec §6) and writes keys and values into the paged KV pool.
///
/// Inputs: qkv f32 [rows, (H+2K)·d]; [`crate::batch::ROWS`]; [`crate::batch::ROPE`] f32 [rows, d] (d/2 cosines, then
/// d/2 sines, made by the host in f32); the states `k`, `v` [kv_slots, K·d], or in 8 bits [kv_slots, bytes of K records].
/// For a pair (e, e + d/2): `out = (a·cos − b·sin, b·cos + a·sin)`. Row n is written at slot `ROWS[n].kv_slot`.
/// Result: rotated queries f32 [rows, H·d], heads in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Heads.
    pub heads: Heads,
    /// Layout of the qkv row.
    pub layout: QkvLayout,
}

/// Checks the last four inputs that [`Rope`] and the fused `qkv_rope` share, from input `first` on.
pub(super) fn check_rope_inputs(check: &Check<'_>, heads: &Heads, first: usize) -> Result<(), GraphError> {
    heads.check(check)?;
    check.is(first, DType::U32, [Axis::Rows.into(), 4.into()])?;
    check.is(first + 1, DType::F32, [Axis::Rows.into(), heads.size.into()])?;
    heads.check_cache(check, first + 2)?;
    heads.check_cache(check, first + 3)
}

impl Operator for Rope {
    const NAME: &'static str = "rope";

    fn infer(&self, check: &Check<'_>) -> Result<Inferred, GraphError> {
        check.arity(5..=5)?;
        check.is(0, DType::F32, [Axis::Rows.into(), self.heads.qkv_width().into()])?;
        check_rope_inputs(check, &self.heads, 1)?;
        Ok(Some((DType::F32, [Axis::Rows.into(), self.heads.query_width().into()].into())))
    }
}
