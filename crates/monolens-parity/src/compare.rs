//! Comparison of tensors by normalised mean square error.

use monolens_graph::backend::HostTensor;
use monolens_graph::{DType, eight};

/// Limits on the NMSE, `sum (a−b)² / sum b²`, by what was computed.
pub mod limit {
    /// Elementwise, norm, RoPE in f32.
    pub const ELEMENTWISE: f64 = 1e-7;
    /// Softmax; anything stored in f16.
    pub const SOFTMAX: f64 = 1e-6;
    /// f32 matmul and attention.
    pub const MATMUL: f64 = 1e-6;
    /// Products and attention of activations rounded to bf16.
    pub const BF16_MATMUL: f64 = 5e-4;
    /// Keys and values kept in bf16.
    pub const BF16_STORED: f64 = 5e-4;
    /// Keys and values kept in 8 bits: one that lies between two integers may go to either.
    pub const I8_STORED: f64 = 2e-5;
    /// Ids, tables.
    pub const EXACT: f64 = 0.0;
}

/// `sum (a−b)² / sum b²`; 0 when both are all zero. NaN and infinities must stand at the same places, with the same sign.
///
/// # Errors
/// The first place where they do not, or where a zero reference meets something else.
pub fn nmse(got: &[f32], want: &[f32]) -> Result<f64, String> {
    if got.len() != want.len() {
        return Err(format!("{} elements, expected {}", got.len(), want.len()));
    }
    let (mut error, mut power) = (0f64, 0f64);
    for (i, (&a, &b)) in got.iter().zip(want).enumerate() {
        if a.is_finite() && b.is_finite() {
            error += (f64::from(a) - f64::from(b)).powi(2);
            power += f64::from(b).powi(2);
        } else if a.is_nan() != b.is_nan() || (!a.is_nan() && a != b) {
            return Err(format!("element {i}: {a}, expected {b}"));
        }
    }
    match (error == 0.0, power == 0.0) {
        (true, _) => Ok(0.0),
        (false, true) => Err(format!("expected zeros, error power {error:e}")),
        (false, false) => Ok(error / power),
    }
}

/// The NMSE of two tensors of one type and shape; integers must be equal, which is 0.
///
/// # Errors
/// What differs.
pub fn tensors(got: &HostTensor, want: &HostTensor) -> Result<f64, String> {
    if (got.dtype, &got.shape) != (want.dtype, &want.shape) {
        return Err(format!("{} {:?}, expected {} {:?}", got.dtype, got.shape, want.dtype, want.shape));
    }
    match got.dtype {
        DType::U32 => {
            let same = got.bytes == want.bytes;
            if same { Ok(0.0) } else { Err(first_difference(got, want)) }
        }
        _ => nmse(&floats(got), &floats(want)),
    }
}

fn first_difference(got: &HostTensor, want: &HostTensor) -> String {
    let words = |t: &HostTensor| bytemuck::allocation::pod_collect_to_vec::<u8, u32>(&t.bytes);
    let (a, b) = (words(got), words(want));
    let at = a.iter().zip(&b).position(|(x, y)| x != y).unwrap_or(0);
    format!("element {at}: {}, expected {}", a[at], b[at])
}

/// Keys or values in 8 bits as the f32 that they stand for; anything else as it is.
pub fn widened(t: HostTensor, head_size: Option<usize>) -> HostTensor {
    let (Some(size), DType::I8) = (head_size, t.dtype) else { return t };
    let mut values = vec![0.0; t.bytes.len() / eight::bytes(size) * size];
    let records = t.bytes.chunks(eight::bytes(size));
    values.chunks_mut(size).zip(records).for_each(|(head, record)| eight::widen(record, head));
    let shape = vec![t.shape[0], values.len() / t.shape[0].max(1)];
    HostTensor { dtype: DType::F32, shape, bytes: bytemuck::cast_slice(&values).to_vec() }
}

/// The elements of a float tensor as f32.
pub fn floats(t: &HostTensor) -> Vec<f32> {
    match t.dtype {
        DType::BF16 => {
            t.bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        DType::F16 => {
            t.bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        _ => bytemuck::allocation::pod_collect_to_vec(&t.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misplaced_nan_is_an_error_and_a_shared_one_is_not() {
        assert!(nmse(&[f32::NAN, 1.0], &[1.0, 1.0]).is_err());
        assert!(nmse(&[f32::INFINITY, 1.0], &[f32::NEG_INFINITY, 1.0]).is_err());
        assert_eq!(nmse(&[f32::NAN, 1.0], &[f32::NAN, 1.0]), Ok(0.0));
    }

    #[test]
    fn the_error_is_relative_to_the_reference() {
        let e = nmse(&[1.1, 0.0], &[1.0, 0.0]).unwrap();
        assert!((e - 0.01).abs() < 1e-6);
        assert!(nmse(&[1.0], &[0.0]).is_err(), "anything against zeros is wrong");
    }
}
