//! Repeated measurements: median, spread, and whether they are to be trusted.

use serde::Serialize;

/// Spread above which a measurement is marked: something else was going on.
const UNSTEADY: f64 = 0.10;

/// Measurements of one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// The middle one, in seconds.
    pub median: f64,
    /// From the least to the largest, as a share of the median.
    pub spread: f64,
    /// How many.
    pub count: usize,
}

impl Timing {
    /// Of some seconds, at least one.
    pub fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let (first, last) = (seconds.first().copied().unwrap_or(0.0), seconds.last().copied().unwrap_or(0.0));
        let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
        let spread = if median > 0.0 { (last - first) / median } else { 0.0 };
        Self { median, spread, count: seconds.len() }
    }

    /// Measures after one run that does not count.
    ///
    /// # Errors
    /// Those of `work`, which gives seconds.
    pub fn measure<E>(repeat: usize, mut work: impl FnMut() -> Result<f64, E>) -> Result<Self, E> {
        work()?;
        Ok(Self::of((0..repeat.max(1)).map(|_| work()).collect::<Result<_, E>>()?))
    }

    /// Whether the measurements differ so much that their median says little.
    pub fn is_unsteady(&self) -> bool {
        self.spread > UNSTEADY
    }

    /// The spread for people, with a mark where it is too large.
    pub fn spread_text(&self) -> String {
        format!("{:.1} %{}", self.spread * 100.0, if self.is_unsteady() { " !" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_spread_are_told_and_a_large_one_is_marked() {
        let steady = Timing::of(vec![1.02, 1.0, 0.98]);
        assert_eq!((steady.median, steady.count), (1.0, 3));
        assert!(!steady.is_unsteady() && steady.spread_text() == "4.0 %");
        assert_eq!(Timing::of(vec![1.0, 1.2]).spread_text(), "16.7 % !");
    }

    #[test]
    fn the_first_run_does_not_count() {
        let mut runs = [9.0, 1.0, 2.0, 3.0].into_iter();
        let timing = Timing::measure(3, || runs.next().ok_or(())).unwrap();
        assert_eq!((timing.median, timing.count), (2.0, 3));
    }
}
