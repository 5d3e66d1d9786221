//! Keys and values in 8 bits ([`DType::I8`](crate::DType::I8)): how a head of a token lies in memory.
//!
//! A *record* is a factor (scale) in f32, then an integer from -127 to 127 for each element, then zeros up to a whole word.
//! The factor lies beside its integers so that one address finds both, and no two heads share a word: the kernels that
//! write them in parallel need no atomics. A row of the cache is the records of its heads.

/// The largest integer.
const MOST: f32 = 127.0;

/// Bytes of a record of `size` elements.
pub const fn bytes(size: usize) -> usize {
    size_of::<f32>() + size.next_multiple_of(4)
}

/// Rounds the elements of a head to the nearest integers. The factor takes the largest magnitude to 127; one that is not
/// finite makes the whole record so.
///
/// # Panics
/// When the record is not of [`bytes`] for so many elements.
pub fn round(values: &[f32], record: &mut [u8]) {
    assert_eq!(record.len(), bytes(values.len()), "a record of {} elements", values.len());
    // The bits of magnitudes are in their order, with NaN above infinity: nothing that is not finite is passed over.
    let most = f32::from_bits(values.iter().map(|v| v.abs().to_bits()).max().unwrap_or(0));
    let (scale, integers) = record.split_at_mut(size_of::<f32>());
    scale.copy_from_slice(&(most / MOST).to_le_bytes());
    integers.fill(0);
    let inverse = if most > 0.0 { MOST / most } else { 0.0 };
    for (to, value) in integers.iter_mut().zip(values) {
        *to = ((value * inverse).round_ties_even().clamp(-MOST, MOST) as i8).cast_unsigned();
    }
}

/// The factor and the integers of a record of `size` elements.
///
/// # Panics
/// When it is shorter.
pub fn parts(record: &[u8], size: usize) -> (f32, &[i8]) {
    let (scale, integers) = record.split_at(size_of::<f32>());
    let scale = f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]);
    (scale, bytemuck::cast_slice(&integers[..size]))
}

/// The elements of a record.
///
/// # Panics
/// When it is shorter than as many elements are.
pub fn widen(record: &[u8], out: &mut [f32]) {
    let (scale, integers) = parts(record, out.len());
    out.iter_mut().zip(integers).for_each(|(y, &q)| *y = scale * f32::from(q));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(values: &[f32]) -> Vec<f32> {
        let mut record = vec![0xaa; bytes(values.len())];
        round(values, &mut record);
        assert!(record[4 + values.len()..].iter().all(|&byte| byte == 0), "filled up with zeros");
        let mut out = vec![0.0; values.len()];
        widen(&record, &mut out);
        out
    }

    #[test]
    fn an_element_is_at_most_half_a_step_from_its_integer() {
        for size in [1, 2, 6, 22, 64, 128] {
            let values: Vec<f32> = (0..size).map(|i| (i as f32 * 0.7).sin() * 3.0 - 1.0).collect();
            let most = values.iter().fold(0f32, |most, v| most.max(v.abs()));
            let out = rounded(&values);
            assert!(values.iter().zip(&out).all(|(a, b)| (a - b).abs() <= most / 127.0 * 0.5001), "{size}");
        }
        assert_eq!(rounded(&[127.0, -127.0, 2.5, 3.5, -0.4]), [127.0, -127.0, 2.0, 4.0, 0.0]);
        assert_eq!(rounded(&[0.0, -0.0, 0.0]), [0.0; 3]);
    }

    #[test]
    fn what_is_not_finite_is_not_lost() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut record = [0; bytes(3)];
            round(&[1.0, bad, -2.0], &mut record);
            assert!(!parts(&record, 3).0.is_finite(), "{bad}");
        }
    }

    #[test]
    fn a_record_is_whole_words() {
        assert_eq!([1, 4, 6, 128].map(bytes), [8, 8, 12, 132]);
    }
}
