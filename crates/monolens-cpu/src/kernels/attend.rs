//! A few queries past the keys and values of a page, where they lie: what attention does while it decodes.
//!
//! One source for all instruction sets: plain loops over arrays, which compilers turn into vectors of any width.

use crate::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Level;
use half::{bf16, f16};
use monolens_graph::eight;

/// Elements of a vector.
const LANES: usize = 16;

/// Vectors that are summed side by side for one head. For two heads at once their sums and what they share stay in registers.
const WIDE: usize = 4;

const BLOCK: usize = WIDE * LANES;

type Lanes = [f32; LANES];

/// The keys or the values of one kv head in slots that follow each other.
#[derive(Clone, Copy, Debug)]
pub enum HeadRows<'a> {
    /// f32; the rows begin so many elements apart.
    F32(&'a [f32], usize),
    /// IEEE half.
    F16(&'a [f16], usize),
    /// bfloat16.
    BF16(&'a [bf16], usize),
    /// 8-bit integers in records with their factor ([`eight`]), so many bytes apart.
    Records(&'a [u8], usize),
}

/// Some heads beside each other and the slots that they go past.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Elements of a head.
    pub size: usize,
    /// Slots.
    pub count: usize,
    /// From the scores of one head to those of the next.
    pub stride: usize,
}

/// `scores[g·stride + i] = scale · Σ q_g · k_i` in f32 for the heads that lie one behind the other in `queries`.
///
/// # Panics
/// When a slice is too short.
pub fn scores(isa: Isa, span: Span, queries: &[f32], keys: HeadRows<'_>, scale: f32, scores: &mut [f32]) {
    dispatch(isa, span.size, keys, Scores { span, queries, scale, scores });
}

/// `out_g += Σ shares[g·stride + i] · v_i` in f32 for the heads that lie one behind the other in `out`.
///
/// # Panics
/// When a slice is too short.
pub fn add_values(isa: Isa, span: Span, shares: &[f32], values: HeadRows<'_>, out: &mut [f32]) {
    dispatch(isa, span.size, values, Values { span, shares, out });
}

/// Rows of one type: a row's elements and its factor.
trait Rows: Copy {
    type Element: Copy;
    fn row(&self, i: usize) -> (&[Self::Element], f32);
    fn widen(element: Self::Element) -> f32;
}

/// What is done with rows; compiled for each type of them, with or without instructions that multiply and add in one.
trait Work: Sized {
    /// Heads that go past the rows.
    fn count(&self) -> usize;
    /// `G` of them at once: an element is widened once for all.
    fn heads<R: Rows, const FMA: bool, const G: usize>(&mut self, rows: R, first: usize);

    #[inline(always)]
    fn run<R: Rows, const FMA: bool>(mut self, rows: R) {
        let count = self.count();
        for first in (0..count - count % 2).step_by(2) {
            self.heads::<R, FMA, 2>(rows, first);
        }
        if count % 2 == 1 {
            self.heads::<R, FMA, 1>(rows, count - 1);
        }
    }
}

macro_rules! float_rows {
    ($name:ident, $type:ty, $widen:expr) => {
        #[derive(Clone, Copy)]
        struct $name<'a>(&'a [$type], usize, usize);

        impl Rows for $name<'_> {
            type Element = $type;
            #[inline(always)]
            fn row(&self, i: usize) -> (&[$type], f32) {
                (&self.0[i * self.1..][..self.2], 1.0)
            }
            #[inline(always)]
            fn widen(element: $type) -> f32 {
                $widen(element)
            }
        }
    };
}

float_rows!(Singles, f32, |x| x);
float_rows!(Halves, f16, f16::to_f32);
float_rows!(Brains, bf16, |x: bf16| f32::from_bits(u32::from(x.to_bits()) << 16));

#[derive(Clone, Copy)]
struct Records<'a>(&'a [u8], usize, usize);

impl Rows for Records<'_> {
    type Element = i8;
    #[inline(always)]
    fn row(&self, i: usize) -> (&[i8], f32) {
        let (factor, integers) = eight::parts(&self.0[i * self.1..], self.2);
        (integers, factor)
    }
    #[inline(always)]
    fn widen(element: i8) -> f32 {
        f32::from(element)
    }
}

fn dispatch(isa: Isa, size: usize, rows: HeadRows<'_>, work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
        fn avx512(size: usize, rows: HeadRows<'_>, work: impl Work) {
            typed::<true>(size, rows, work);
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2(size: usize, rows: HeadRows<'_>, work: impl Work) {
            typed::<true>(size, rows, work);
        }
        match isa.0 {
            // SAFETY: an `Isa` is only made on a machine that has it.
            Level::Avx512 | Level::Avx512Bf16 => return unsafe { avx512(size, rows, work) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2(size, rows, work) },
            _ => {}
        }
    }
    let _ = isa;
    typed::<{ cfg!(target_arch = "aarch64") }>(size, rows, work);
}

#[inline(always)]
fn typed<const FMA: bool>(size: usize, rows: HeadRows<'_>, work: impl Work) {
    match rows {
        HeadRows::F32(data, apart) => work.run::<_, FMA>(Singles(data, apart, size)),
        HeadRows::F16(data, apart) => work.run::<_, FMA>(Halves(data, apart, size)),
        HeadRows::BF16(data, apart) => work.run::<_, FMA>(Brains(data, apart, size)),
        HeadRows::Records(data, apart) => work.run::<_, FMA>(Records(data, apart, size)),
    }
}

struct Scores<'a> {
    span: Span,
    queries: &'a [f32],
    scale: f32,
    scores: &'a mut [f32],
}

impl Work for Scores<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.queries.len() / self.span.size.max(1)
    }

    #[inline(always)]
    fn heads<R: Rows, const FMA: bool, const G: usize>(&mut self, rows: R, first: usize) {
        let Span { size, count, stride } = self.span;
        let queries: [&[f32]; G] = std::array::from_fn(|g| &self.queries[(first + g) * size..][..size]);
        for i in 0..count {
            let (row, factor) = rows.row(i);
            let mut sums = [[[0.0; LANES]; WIDE]; G];
            let (blocks, rest) = row.as_chunks::<BLOCK>();
            let whole: [&[[f32; BLOCK]]; G] =
                std::array::from_fn(|g| &queries[g].as_chunks::<BLOCK>().0[..blocks.len()]);
            for (c, block) in blocks.iter().enumerate() {
                let vectors = block.as_chunks::<LANES>().0;
                for v in 0..WIDE {
                    let key = widened::<R>(&vectors[v]);
                    for g in 0..G {
                        add_product::<FMA>(&mut sums[g][v], &whole[g][c].as_chunks().0[v], &key);
                    }
                }
            }
            let (vectors, rest) = rest.as_chunks::<LANES>();
            for (c, vector) in vectors.iter().enumerate() {
                let key = widened::<R>(vector);
                for g in 0..G {
                    let query = &queries[g].as_chunks().0[blocks.len() * WIDE + c];
                    add_product::<FMA>(&mut sums[g][0], query, &key);
                }
            }
            for g in 0..G {
                let tail = &queries[g][size - rest.len()..];
                let left: f32 = tail.iter().zip(rest).map(|(q, &k)| q * R::widen(k)).sum();
                self.scores[(first + g) * stride + i] = self.scale * factor * (total(&sums[g]) + left);
            }
        }
    }
}

struct Values<'a> {
    span: Span,
    shares: &'a [f32],
    out: &'a mut [f32],
}

impl Work for Values<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.out.len() / self.span.size.max(1)
    }

    /// `WIDE` vectors of each in registers over all slots.
    #[inline(always)]
    fn heads<R: Rows, const FMA: bool, const G: usize>(&mut self, rows: R, first: usize) {
        let Span { size, count, stride } = self.span;
        let vectors = size / LANES;
        for from in (0..vectors - vectors % WIDE).step_by(WIDE) {
            self.columns::<R, FMA, G, WIDE>(rows, first, from * LANES);
        }
        for from in vectors - vectors % WIDE..vectors {
            self.columns::<R, FMA, G, 1>(rows, first, from * LANES);
        }
        for column in vectors * LANES..size {
            for g in first..first + G {
                for i in 0..count {
                    let (row, factor) = rows.row(i);
                    self.out[g * size + column] +=
                        self.shares[g * stride + i] * factor * R::widen(row[column]);
                }
            }
        }
    }
}

impl Values<'_> {
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "indices of registers, all loops unroll")]
    fn columns<R: Rows, const FMA: bool, const G: usize, const V: usize>(
        &mut self,
        rows: R,
        first: usize,
        from: usize,
    ) {
        let Span { size, count, stride } = self.span;
        let mut sums = [[[0.0; LANES]; V]; G];
        for i in 0..count {
            let (row, factor) = rows.row(i);
            let vectors = row[from..][..V * LANES].as_chunks::<LANES>().0;
            for v in 0..V {
                let value = widened::<R>(&vectors[v]);
                for g in 0..G {
                    let share = [factor * self.shares[(first + g) * stride + i]; LANES];
                    add_product::<FMA>(&mut sums[g][v], &share, &value);
                }
            }
        }
        for g in 0..G {
            let out = &mut self.out[(first + g) * size + from..][..V * LANES];
            out.iter_mut().zip(sums[g].as_flattened()).for_each(|(y, s)| *y += s);
        }
    }
}

#[inline(always)]
fn widened<R: Rows>(vector: &[R::Element; LANES]) -> Lanes {
    let mut out = [0.0; LANES];
    for l in 0..LANES {
        out[l] = R::widen(vector[l]);
    }
    out
}

#[inline(always)]
fn add_product<const FMA: bool>(sum: &mut Lanes, a: &Lanes, b: &Lanes) {
    for l in 0..LANES {
        sum[l] = if FMA { a[l].mul_add(b[l], sum[l]) } else { sum[l] + a[l] * b[l] };
    }
}

/// The sum of all, in halves: vectors are added as long as there are some.
#[inline(always)]
fn total(sums: &[Lanes; WIDE]) -> f32 {
    let [a, b, c, d] = sums;
    let all: Lanes = std::array::from_fn(|l| (a[l] + b[l]) + (c[l] + d[l]));
    let half: [f32; 8] = std::array::from_fn(|l| all[l] + all[l + 8]);
    let quarter: [f32; 4] = std::array::from_fn(|l| half[l] + half[l + 4]);
    (quarter[0] + quarter[2]) + (quarter[1] + quarter[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [&str; 4] = ["f32", "f16", "bf16", "8 bits"];

    /// Rows of a type, behind a start and with gaps, and what they hold in f64.
    fn rows(kind: &str, size: usize, count: usize, check: impl FnOnce(HeadRows<'_>, Vec<f64>)) {
        let number = |i: usize| (i as f32 * 0.37).sin() * 2.0 - 0.3;
        let apart = size + 7;
        let flat: Vec<f32> = (0..apart * count + size).map(number).collect();
        let pick = |at: &dyn Fn(usize) -> f64| {
            (0..count).flat_map(|i| (0..size).map(move |e| i * apart + e)).map(at).collect()
        };
        match kind {
            "f32" => check(HeadRows::F32(&flat, apart), pick(&|i| f64::from(flat[i]))),
            "f16" => {
                let halves: Vec<f16> = flat.iter().map(|&x| f16::from_f32(x)).collect();
                check(HeadRows::F16(&halves, apart), pick(&|i| halves[i].to_f64()));
            }
            "bf16" => {
                let halves: Vec<bf16> = flat.iter().map(|&x| bf16::from_f32(x)).collect();
                check(HeadRows::BF16(&halves, apart), pick(&|i| halves[i].to_f64()));
            }
            _ => {
                let record = eight::bytes(size);
                let (mut bytes, mut wide) = (vec![0; (record + 4) * count], Vec::new());
                for (i, to) in bytes.chunks_exact_mut(record + 4).enumerate() {
                    eight::round(&flat[i * apart..][..size], &mut to[..record]);
                    let mut out = vec![0.0; size];
                    eight::widen(&to[..record], &mut out);
                    wide.extend(out.into_iter().map(f64::from));
                }
                check(HeadRows::Records(&bytes, record + 4), wide);
            }
        }
    }

    /// Every instruction set, type and shape: whole vectors, rests, odd heads, one slot and none.
    fn every(check: impl Fn(Isa, Span, usize, HeadRows<'_>, &[f64])) {
        for isa in Isa::available() {
            for (size, heads, count) in
                [(128, 2, 16), (64, 3, 16), (32, 4, 7), (22, 1, 5), (6, 2, 1), (80, 2, 0)]
            {
                for kind in TYPES {
                    let span = Span { size, count, stride: count + 3 };
                    rows(kind, size, count, |rows, wide| check(isa, span, heads, rows, &wide));
                }
            }
        }
    }

    #[test]
    fn scores_are_the_products_of_every_head_with_every_key() {
        every(|isa, span, heads, keys, wide| {
            let q: Vec<f32> = (0..heads * span.size).map(|i| (i as f32 * 0.71).cos()).collect();
            let mut out = vec![7.0; heads * span.stride];
            scores(isa, span, &q, keys, 0.5, &mut out);
            for g in 0..heads {
                for i in 0..span.stride {
                    let got = f64::from(out[g * span.stride + i]);
                    let products = |i: usize| {
                        let q = &q[g * span.size..][..span.size];
                        q.iter().zip(&wide[i * span.size..]).map(|(&q, k)| f64::from(q) * k).sum::<f64>()
                    };
                    let want = if i < span.count { 0.5 * products(i) } else { 7.0 };
                    assert!((got - want).abs() < 1e-4, "{isa:?} {span:?} {keys:?} {g} {i}: {got} {want}");
                }
            }
        });
    }

    #[test]
    fn values_are_added_by_their_shares() {
        every(|isa, span, heads, values, wide| {
            let shares: Vec<f32> = (0..heads * span.stride).map(|i| (i as f32 * 0.53).sin()).collect();
            let mut out = vec![1.0; heads * span.size];
            add_values(isa, span, &shares, values, &mut out);
            for (at, got) in out.iter().enumerate() {
                let (g, column) = (at / span.size, at % span.size);
                let of = |i: usize| f64::from(shares[g * span.stride + i]) * wide[i * span.size + column];
                let want = 1.0 + (0..span.count).map(of).sum::<f64>();
                assert!((f64::from(*got) - want).abs() < 1e-4, "{isa:?} {span:?} {at}: {got} {want}");
            }
        });
    }
}
