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
}
