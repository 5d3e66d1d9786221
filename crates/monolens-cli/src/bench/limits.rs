//! What the device can do, measured with its own kernels in the same run: the rate at which weights stream past one row,
//! and that of a large product.

use super::timing::Timing;
use monolens_graph::backend::Job;
use monolens_graph::plan::Plan;
use monolens_graph::{Axes, Axis, Backend, BackendError, DType, GraphBuilder, ops};
use std::time::Instant;

/// Rows and columns of the weight that streams, in f32: 256 MiB, more than any cache holds.
const STREAM: [usize; 2] = [16_384, 4096];
/// Rows of x, columns of the weight (bf16) and inner elements of the large product: 4.3 GFLOP.
const PRODUCT: [usize; 3] = [256, 4096, 2048];

/// Rates that the device reaches.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes a second of a weight in f32 that passes one row.
    pub stream: f64,
    /// Operations a second of a product in bf16.
    pub product: f64,
}

impl Limits {
    /// Measures them on a backend of their own.
    ///
    /// # Errors
    /// Those of the device.
    pub fn measure(backend: &mut dyn Backend, repeat: usize) -> Result<Self, BackendError> {
        let [columns, inner] = STREAM;
        let stream = product(backend, "stream", [1, columns, inner], DType::F32, repeat)?;
        let [rows, columns, inner] = PRODUCT;
        let many = product(backend, "product", PRODUCT, DType::BF16, repeat)?;
        Ok(Self {
            stream: (4 * STREAM[0] * STREAM[1]) as f64 / stream.median,
            product: 2.0 * (rows * columns * inner) as f64 / many.median,
        })
    }
}

/// Seconds of `x·Wᵀ`, its result read back.
fn product(
    backend: &mut dyn Backend,
    name: &str,
    [rows, columns, inner]: [usize; 3],
    dtype: DType,
    repeat: usize,
) -> Result<Timing, BackendError> {
    let graph = graph(name, columns, inner)
        .map_err(|error| BackendError::Device(format!("the graph of a product: {error}")))?;
    let spec = graph.weights[0].clone();
    backend.begin_weight(&spec, dtype.into())?;
    let row = weight_row(inner, dtype);
    for _ in 0..columns {
        backend.write_weight(&row)?;
    }
    backend.end_weight()?;
    let axes = Axes::new().with(Axis::Rows, rows);
    let plan = Plan::new(&graph, backend.capabilities(), axes);
    let program = pollster::block_on(backend.prepare(plan))?;
    let x: Vec<u8> = weight_row(rows * inner, DType::F32);
    let mut job = Job::new(axes);
    job.input("x", &x).read("y");
    Timing::measure(repeat, || {
        let start = Instant::now();
        pollster::block_on(backend.run(program, &job))?;
        Ok(start.elapsed().as_secs_f64())
    })
}

fn graph(
    name: &str,
    columns: usize,
    inner: usize,
) -> Result<monolens_graph::Graph, monolens_graph::GraphError> {
    let mut g = GraphBuilder::new(name);
    let x = g.input("x", DType::F32, [Axis::Rows.into(), inner.into()]);
    let weight = g.weight(format!("{name}.weight"), [columns, inner]);
    let y = g.push("y", ops::Linear::shared(weight, None), &[x])?;
    g.output("y", y)?;
    Ok(g.finish())
}

/// Numbers between -1 and 1.
fn weight_row(len: usize, dtype: DType) -> Vec<u8> {
    let value = |i: usize| (i * 7919 % 1000) as f32 / 500.0 - 1.0;
    match dtype {
        DType::BF16 => (0..len).flat_map(|i| half::bf16::from_f32(value(i)).to_le_bytes()).collect(),
        _ => (0..len).flat_map(|i| value(i).to_le_bytes()).collect(),
    }
}
