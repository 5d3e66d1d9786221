//! The exponential function over slices, in a form that compilers turn into vectors of any width.

use crate::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::Level;

/// Replaces each score by `e^(score − most)` and gives their sum.
pub fn exponentials(isa: Isa, scores: &mut [f32], most: f32) -> f32 {
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` is only made on a machine that has it.
        Level::Avx512 | Level::Avx512Bf16 => unsafe { x86::exponentials_avx512(scores, most) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::exponentials_avx2(scores, most) },
        _ => exponentials_plain(scores, most),
    }
}

/// `out = gate / (1 + e^−gate) · up`.
pub fn swiglu(isa: Isa, gate: &[f32], up: &[f32], out: &mut [f32]) {
    match isa.0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: an `Isa` is only made on a machine that has it.
        Level::Avx512 | Level::Avx512Bf16 => unsafe { x86::swiglu_avx512(gate, up, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { x86::swiglu_avx2(gate, up, out) },
        _ => swiglu_plain(gate, up, out),
    }
}

/// `e^x` to about one unit in the last place, without branches: x = n·ln 2 + r, a polynomial for e^r (Cephes), and 2ⁿ in
/// two factors, so that subnormal results come out too.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added to a small number, rounds it to an integer that stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let bounded = x.clamp(-104.0, 89.0);
    let rounded = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (bounded - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4_f32;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p * r + c;
    }
    let p = p * r * r + r + 1.0;
    let k = rounded.to_bits() as i32 - ROUND.to_bits() as i32;
    let half = k >> 1;
    let power = |k: i32| f32::from_bits(((k + 127) << 23) as u32);
    p * power(half) * power(k - half)
}

#[inline(always)]
fn exponentials_plain(scores: &mut [f32], most: f32) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (chunks, rest) = scores.as_chunks_mut::<16>();
    for chunk in chunks {
        for (sum, s) in sums.iter_mut().zip(chunk) {
            *s = exp(*s - most);
            *sum += *s;
        }
    }
    for (sum, s) in sums.iter_mut().zip(rest) {
        *s = exp(*s - most);
        *sum += *s;
    }
    sums.iter().sum()
}

#[inline(always)]
fn swiglu_plain(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for (y, (&g, &u)) in out.iter_mut().zip(gate.iter().zip(up)) {
        *y = g / (1.0 + exp(-g)) * u;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    macro_rules! version {
        ($exponentials:ident, $swiglu:ident, $features:literal) => {
            #[target_feature(enable = $features)]
            pub(super) fn $exponentials(scores: &mut [f32], most: f32) -> f32 {
                super::exponentials_plain(scores, most)
            }

            #[target_feature(enable = $features)]
            pub(super) fn $swiglu(gate: &[f32], up: &[f32], out: &mut [f32]) {
                super::swiglu_plain(gate, up, out);
            }
        };
    }

    version!(exponentials_avx2, swiglu_avx2, "avx2,fma");
    version!(exponentials_avx512, swiglu_avx512, "avx512f,avx512bw,avx512vl,avx512dq");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_over_all_its_range() {
        let mut worst = 0.0_f64;
        for i in -1_050_000..=890_000 {
            let x = i as f32 / 10_000.0;
            let want = f64::from(x).exp();
            let error = (f64::from(exp(x)) - want).abs();
            // Relative, but absolute where results are subnormal.
            worst = worst.max(error / want.max(f64::from(f32::MIN_POSITIVE)));
            assert!(x > 88.722 || error <= 3e-7 * want + 1.5e-45, "{x}: {} {want}", exp(x));
        }
        assert!(worst > 0.0, "the loop ran");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn every_instruction_set_gives_the_same() {
        for n in [0, 1, 15, 16, 17, 100] {
            let gate: Vec<f32> = (0..n).map(|i| i as f32 * 0.7 - 30.0).collect();
            let up: Vec<f32> = (0..n).map(|i| (i as f32).cos()).collect();
            for isa in Isa::available() {
                let mut scores = gate.clone();
                let sum = exponentials(isa, &mut scores, 40.0);
                let want: f64 = gate.iter().map(|&g| f64::from(g - 40.0).exp()).sum();
                assert!((f64::from(sum) - want).abs() <= 1e-6 * want, "{isa:?}: {sum} {want}");
                let mut out = vec![0.0; n];
                swiglu(isa, &gate, &up, &mut out);
                for i in 0..n {
                    let g = f64::from(gate[i]);
                    let want = g / (1.0 + (-g).exp()) * f64::from(up[i]);
                    assert!((f64::from(out[i]) - want).abs() <= 1e-6 * want.abs(), "{isa:?}");
                }
            }
        }
    }
}
