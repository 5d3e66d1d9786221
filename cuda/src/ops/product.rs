//! Projections by the vendor's library: those of many rows by weights in bf16, not routed, with nothing but a bias and a
//! residual fused to them. What else was fused is done by a kernel behind the products.

use super::Lower;
use crate::gpu::{PRODUCT_WORKSPACE, Product, ProductShape, Recording, Work};
use crate::program::{Launches, Place, RECORDED_ROWS, Run};
use crate::weights::Weight;
use monolens_graph::{DType, Lowering, Shape, WeightFormat};

/// Rows from which on the library multiplies. Up to as many as a graph is recorded of, launching is what takes time, and
/// a product less makes no graph.
const LIBRARY_ROWS: usize = RECORDED_ROWS + 1;

/// A product of the library: rows by a matrix.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    pub weight: Place,
    pub bias: Place,
    /// What is added to it.
    pub added: Place,
    pub result: Place,
}

/// How the library does a projection.
pub(super) struct Plain {
    /// By matrices that are all alike.
    pub factors: Vec<Factor>,
    /// What makes the result of theirs.
    pub then: Option<Launches>,
}

impl Lower<'_> {
    /// Whether the library may do a projection of such rows by such a weight.
    pub fn is_plain(&self, weight: &Weight, shape: &Shape, biased: bool) -> bool {
        let most = shape.rows(&self.plan().limits);
        let stored = weight.format == WeightFormat::Plain(DType::BF16);
        let has = |biased| self.gpu().has_product(&product_shape(weight, most, biased));
        // Terms of x after the first are added to what is there, without a bias.
        self.how.library && stored && most >= LIBRARY_ROWS && has(false) && (!biased || has(true))
    }
}

/// Rows of weights are padded with zeros, and so are packed rows of x at least as far: the padding may be multiplied.
fn product_shape(weight: &Weight, rows: usize, biased: bool) -> ProductShape {
    let [rows, columns, stride] = [rows, weight.rows, weight.stride].map(number);
    ProductShape {
        rows,
        columns,
        inner: stride,
        x_stride: number(depth(weight)),
        weight_stride: stride,
        biased,
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Elements from one packed row of x to the next: whole steps of the tensor cores' kernels.
pub(super) fn depth(weight: &Weight) -> usize {
    weight.inner.next_multiple_of(super::project::DEPTH)
}

/// A projection by the library, made ready.
pub(super) struct Products {
    plain: Plain,
    /// Of one row.
    shape: ProductShape,
    workspace: Place,
    /// Terms of x, most significant first.
    terms: usize,
}

impl Products {
    pub fn new(cx: &mut Lower<'_>, plain: Plain, weight: &Weight, terms: usize) -> Self {
        let shape = product_shape(weight, 1, false);
        Self { plain, shape, workspace: cx.scratch(PRODUCT_WORKSPACE), terms }
    }

    /// Whether it is worth it for so many rows.
    pub fn fits(&self, rows: usize) -> bool {
        rows >= LIBRARY_ROWS
    }

    /// Adds the products of packed rows.
    pub fn launch(&self, run: &Run<'_>, out: &mut Recording, rows: usize, packed: &Place) {
        let term_bytes = (rows * self.shape.x_stride as usize * 2) as u64;
        for factor in &self.plain.factors {
            let [weight, bias, added, result] =
                [&factor.weight, &factor.bias, &factor.added, &factor.result].map(|place| run.address(place));
            for term in 0..self.terms {
                let (bias, added) = if term == 0 { (bias, added) } else { (0, result) };
                let shape = ProductShape { rows: number(rows), biased: bias != 0, ..self.shape };
                let x = run.address(packed) + term as u64 * term_bytes;
                let workspace = run.address(&self.workspace);
                out.work.push(Work::Product(Product { shape, x, weight, bias, added, result, workspace }));
            }
        }
        if let Some(then) = &self.plain.then {
            then(run, out);
        }
    }
}
