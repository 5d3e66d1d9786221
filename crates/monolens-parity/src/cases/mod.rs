//! How to draw a case of each operator.

mod attention;
mod elementwise;
mod matmul;
mod tokens;
mod vision;

use crate::case::Case;

/// Draws the case of a number.
pub type DrawCase = fn(usize) -> Case;

/// Every operator of the graph and every fused form, by name.
pub fn all() -> Vec<(&'static str, DrawCase)> {
    let mut list = Vec::new();
    list.extend(elementwise::CASES);
    list.extend(matmul::CASES);
    list.extend(attention::CASES);
    list.extend(tokens::CASES);
    list.extend(vision::CASES);
    list
}

/// Sizes for which backends have kernels of their own: projections of more than 256 rows, decoding far into a sequence.
pub fn large() -> Vec<(&'static str, DrawCase)> {
    matmul::LARGE.into_iter().chain(attention::LARGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use monolens_graph::Op;
    use monolens_graph::plan::{Capabilities, Fusions, Plan};

    #[test]
    fn every_operator_of_the_graph_has_cases() {
        let capabilities = Capabilities {
            fusions: Fusions::ALL,
            max_binding: 1 << 27,
            kv_dtype: monolens_graph::DType::F32,
        };
        let mut missing: Vec<&str> = Op::NAMES.to_vec();
        for (_, draw) in all() {
            let case = draw(5);
            let plan = Plan::new(&case.graph, &capabilities, case.axes);
            for node in case.graph.nodes.iter().chain(&plan.graph.nodes) {
                missing.retain(|&name| name != node.op.name());
            }
        }
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn large_cases_have_many_rows_or_a_long_context() {
        use monolens_graph::Axis;
        for (name, draw) in large() {
            for number in 0..10 {
                let [rows, context] = [Axis::Rows, Axis::Context].map(|axis| draw(number).axes.get(axis));
                let is_large = if name.contains("many") { rows > 256 && rows < 512 } else { context > 256 };
                assert!(is_large, "{name} {number}: {rows} rows, context {context}");
            }
        }
    }
}
