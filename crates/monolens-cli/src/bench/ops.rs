//! Where the time of a step goes: operators of one name and size put together.

use super::timing::Timing;
use monolens_graph::{Cost, OpTime};
use std::collections::BTreeMap;

/// Operators of one name and size in one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The operator.
    pub op: &'static str,
    /// Widths of what goes in and comes out.
    pub widths: [usize; 2],
    /// How many of them a run has.
    pub count: usize,
    /// The work of all of them in a run.
    pub cost: Cost,
    /// Their time in a run.
    pub timing: Timing,
}

/// Puts the operators of several equal runs together; the slowest first.
pub fn groups(runs: &[Vec<OpTime>]) -> Vec<Group> {
    #[derive(Default)]
    struct Sum {
        count: usize,
        cost: Cost,
        seconds: Vec<f64>,
    }
    let mut sums: BTreeMap<(&str, [usize; 2]), Sum> = BTreeMap::new();
    for (i, run) in runs.iter().enumerate() {
        for time in run {
            let sum = sums.entry((time.op, time.widths)).or_default();
            sum.seconds.resize(runs.len(), 0.0);
            sum.seconds[i] += time.seconds;
            // The work is the same in all runs: that of the last counts.
            if i + 1 == runs.len() {
                sum.count += 1;
                sum.cost.flops += time.cost.flops;
                sum.cost.bytes += time.cost.bytes;
            }
        }
    }
    let group = |((op, widths), sum): (_, Sum)| {
        let Sum { count, cost, seconds } = sum;
        Group { op, widths, count, cost, timing: Timing::of(seconds) }
    };
    let mut groups: Vec<Group> = sums.into_iter().map(group).collect();
    groups.sort_by(|a, b| b.timing.median.total_cmp(&a.timing.median));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_of_one_size_are_one_group() {
        let time = |op, out, seconds| OpTime {
            op,
            widths: [8, out],
            cost: Cost { flops: 2.0, bytes: 3.0 },
            seconds,
        };
        let run = |seconds| vec![time("linear", 4, seconds), time("add", 8, 9.0), time("linear", 4, seconds)];
        let groups = groups(&[run(1.0), run(3.0), run(2.0)]);
        let [add, linear] = &groups[..] else { panic!("{groups:?}") };
        assert_eq!((add.op, add.count, add.timing.median), ("add", 1, 9.0));
        assert_eq!((linear.op, linear.count, linear.timing.median), ("linear", 2, 4.0));
        assert_eq!(linear.cost, Cost { flops: 4.0, bytes: 6.0 });
    }
}
