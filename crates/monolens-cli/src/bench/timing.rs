//! Repeated measurements: median, spread, and whether they are to be trusted.

use crate::bench::table::Cell;
use serde::Serialize;
use serde_json::{Value, json};

/// Spread above which a measurement is marked: something else was going on.
const UNSTEADY: f64 = 0.10;

/// Measurements of one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// The middle one, or the mean of the two in the middle, in seconds.
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
        let at = |i: usize| seconds.get(i).copied().unwrap_or(0.0);
        let half = seconds.len() / 2;
        let median = if seconds.len().is_multiple_of(2) && half > 0 {
            (at(half - 1) + at(half)) / 2.0
        } else {
            at(half)
        };
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

    /// The spread, for people with a mark where it is too large. One measurement has none.
    pub fn spread_cell(&self) -> Cell {
        if self.count < 2 {
            return Cell::new("one only", Value::Null);
        }
        let mark = if self.is_unsteady() { " !" } else { "" };
        Cell::new(format!("{:.1} %{mark}", self.spread * 100.0), json!(self.spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_and_the_spread_are_told_and_a_large_one_is_marked() {
        let steady = Timing::of(vec![1.02, 1.0, 0.98]);
        assert_eq!((steady.median, steady.count), (1.0, 3));
        assert!(!steady.is_unsteady() && steady.spread_cell().text == "4.0 %");
        let unsteady = Timing::of(vec![1.0, 1.25, 1.0, 1.0]);
        assert_eq!((unsteady.median, unsteady.spread_cell()), (1.0, Cell::new("25.0 % !", json!(0.25))));
    }

    #[test]
    fn of_two_in_the_middle_the_mean_counts_and_one_alone_has_no_spread() {
        assert_eq!(Timing::of(vec![3.0, 1.0, 9.0, 2.0]).median, 2.5);
        let one = Timing::of(vec![2.0]);
        assert_eq!((one.median, one.spread_cell()), (2.0, Cell::new("one only", Value::Null)));
    }

    #[test]
    fn the_first_run_does_not_count() {
        let mut runs = [9.0, 1.0, 2.0, 3.0].into_iter();
        let timing = Timing::measure(3, || runs.next().ok_or(())).unwrap();
        assert_eq!((timing.median, timing.count), (2.0, 3));
    }
}
