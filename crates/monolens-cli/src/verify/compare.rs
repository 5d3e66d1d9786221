//! Numbers against numbers.

/// The largest error that a hidden state or a logit may have in f32 arithmetic (spec §13).
pub const MAX_ERROR: f64 = 1e-3;

/// How far values are from the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// Σ(a−b)² / Σb².
    pub nmse: f64,
    /// The largest |a−b|; infinite where one is finite and the other is not.
    pub max_error: f64,
}

impl Distance {
    /// Compares values of equal number. NaN and infinities must match in kind and place.
    pub fn between(got: &[f32], expected: &[f32]) -> Self {
        let (mut error, mut power, mut most) = (0.0f64, 0.0f64, 0.0f64);
        for (&a, &b) in got.iter().zip(expected) {
            if !(a.is_finite() && b.is_finite()) {
                let same = a == b || (a.is_nan() && b.is_nan());
                most = if same { most } else { f64::INFINITY };
                continue;
            }
            let difference = f64::from(a) - f64::from(b);
            error += difference * difference;
            power += f64::from(b) * f64::from(b);
            most = most.max(difference.abs());
        }
        let nmse = match (most.is_finite(), error == 0.0) {
            (false, _) => f64::INFINITY,
            (true, true) => 0.0,
            (true, false) => error / power,
        };
        Self { nmse, max_error: most }
    }
}

/// Where two sequences first differ.
pub fn first_difference<T: PartialEq>(got: &[T], expected: &[T]) -> Option<usize> {
    let common = got.iter().zip(expected).position(|(a, b)| a != b);
    common.or_else(|| (got.len() != expected.len()).then(|| got.len().min(expected.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_no_distance() {
        let values = [1.0, -2.0, f32::INFINITY, f32::NAN];
        assert_eq!(Distance::between(&values, &values), Distance::default());
        assert_eq!(Distance::between(&[], &[]), Distance::default());
    }

    #[test]
    fn distance_is_relative_and_absolute() {
        let d = Distance::between(&[1.5, 2.0], &[1.0, 2.0]);
        assert!((d.nmse - 0.05).abs() < 1e-12 && d.max_error == 0.5);
    }

    #[test]
    fn a_nan_is_infinitely_far() {
        assert_eq!(Distance::between(&[f32::NAN], &[1.0]).max_error, f64::INFINITY);
        assert_eq!(Distance::between(&[1.0], &[f32::NEG_INFINITY]).nmse, f64::INFINITY);
    }

    #[test]
    fn a_missing_element_is_a_difference() {
        assert_eq!(first_difference(&[1, 2], &[1, 2]), None);
        assert_eq!(first_difference(&[1, 2], &[1, 3]), Some(1));
        assert_eq!(first_difference(&[1, 2], &[1]), Some(1));
    }
}
