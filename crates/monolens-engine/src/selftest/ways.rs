//! The ways in which the device of a choice computes.

use super::checks::Way;
use crate::device::{BackendChoice, BackendName, CpuArithmetic, open_backend};

/// Those of the CPU: in f32, and as fast as it can. Of another device: the one that the choice names.
pub fn ways(choice: &BackendChoice) -> Vec<Way<'static>> {
    let way = |name: &str, is_exact, choice: BackendChoice| Way {
        name: name.into(),
        is_exact,
        open: Box::new(move || pollster::block_on(open_backend(&choice)).map(|opened| opened.backend)),
    };
    let with = |arithmetic| BackendChoice { arithmetic, ..choice.clone() };
    match choice.backend {
        BackendName::Cpu => vec![
            way("f32 activations", true, with(CpuArithmetic::Exact)),
            way("the fastest instructions", false, with(CpuArithmetic::Fast)),
        ],
        _ => vec![way("f32 activations", true, choice.clone())],
    }
}

#[cfg(test)]
mod tests {
    use crate::BackendChoice;
    use crate::selftest::checks::{self, Extent};
    use crate::selftest::ways;

    /// That it finds what is wrong is tested on CUDA's kernels (`cuda/shim`).
    #[test]
    fn the_cpu_passes_in_all_its_ways() {
        let extent = Extent { cases: 2..4, large: 1..2 };
        let checks = pollster::block_on(checks::run(&ways(&BackendChoice::exact_cpu()), &extent));
        let names: Vec<&str> = checks.iter().map(|c| c.name.as_str()).collect();
        let expected = [
            "operators, f32 activations",
            "operators, the fastest instructions",
            "large sizes, f32 activations",
            "large sizes, the fastest instructions",
            "the small golden model, f32 activations",
        ];
        assert_eq!(names, expected);
        for check in &checks {
            assert_eq!(check.fault, None, "{}", check.name);
        }
        assert_eq!(checks[4].detail, "16 ids, all as the official code's");
    }
}
