//! What the device can do, measured with its own kernels in the same run: the rate at which weights stream past one row,
//! and that of a large product in the format that is the fastest.

use super::timing::Timing;
use monolens_graph::backend::Job;
use monolens_graph::plan::Plan;
use monolens_graph::{
    Axes, Axis, Backend, BackendError, Bits, DType, GraphBuilder, Grouped, WeightFormat, WeightSpec, ops,
};
use serde_json::{Value, json};
use std::time::Instant;

/// Rows and columns of the weight that streams, in f32: 256 MiB, more than any cache holds.
const STREAM: [usize; 2] = [16_384, 4096];
/// Rows of x, columns of the weight and inner elements of the large product: 4.3 GFLOP.
const PRODUCT: [usize; 3] = [256, 4096, 2048];
/// Integers in the groups that `--weights 8bit` and `4bit` make.
const fn grouped(bits: Bits) -> WeightFormat {
    WeightFormat::Grouped(Grouped { bits, group: 128, scale: DType::F16 })
}
/// Formats of its weight: which is the fastest differs from device to device.
const FORMATS: [(&str, WeightFormat); 3] = [
    ("bf16", WeightFormat::Plain(DType::BF16)),
    ("8bit", grouped(Bits::Eight)),
    ("4bit", grouped(Bits::Four)),
];

/// Rates that the device reaches.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes a second of a weight in f32 that passes one row.
    pub stream: f64,
    /// Operations a second of a large product with weights in the format that is the fastest.
    pub product: f64,
    /// That format.
    pub format: &'static str,
}

impl Limits {
    /// Measures them on a backend of their own.
    ///
    /// # Errors
    /// Those of the device.
    pub fn measure(backend: &mut dyn Backend, repeat: usize) -> Result<Self, BackendError> {
        let [columns, inner] = STREAM;
        let stream = product(backend, "stream", [1, columns, inner], DType::F32.into(), repeat)?;
        let mut limits =
            Self { stream: (4 * columns * inner) as f64 / stream.median, product: 0.0, format: "" };
        for (name, format) in FORMATS {
            let timing = product(backend, &format!("product {name}"), PRODUCT, format, repeat)?;
            let rate = 2.0 * PRODUCT.iter().product::<usize>() as f64 / timing.median;
            if rate > limits.product {
                (limits.product, limits.format) = (rate, name);
            }
        }
        Ok(limits)
    }

    /// What programs that read a table want to know of all its rows.
    pub fn facts(&self, model: &str, device: &str, repeat: usize) -> [(&'static str, Value); 5] {
        [
            ("model", json!(model)),
            ("device", json!(device)),
            ("repeat", json!(repeat)),
            ("stream, GB/s", json!(self.stream / 1e9)),
            ("product, GFLOP/s", json!(self.product / 1e9)),
        ]
    }

    /// In a few words.
    pub fn text(&self) -> String {
        let (stream, product) = (self.stream / 1e9, self.product / 1e9);
        format!("stream {stream:.1} GB/s, product {product:.1} GFLOP/s ({})", self.format)
    }
}

/// Seconds of `x·Wᵀ`, its result read back.
fn product(
    backend: &mut dyn Backend,
    name: &str,
    [rows, columns, inner]: [usize; 3],
    format: WeightFormat,
    repeat: usize,
) -> Result<Timing, BackendError> {
    let graph = graph(name, columns, inner)
        .map_err(|error| BackendError::Device(format!("the graph of a product: {error}")))?;
    let spec = graph.weights[0].clone();
    load(backend, &spec, format)?;
    let axes = Axes::new().with(Axis::Rows, rows);
    let plan = Plan::new(&graph, backend.capabilities(), axes);
    let program = pollster::block_on(backend.prepare(plan))?;
    let x = floats(rows * inner, DType::F32);
    let mut job = Job::new(axes);
    job.input("x", &x).read("y");
    Timing::measure(repeat, || {
        let start = Instant::now();
        pollster::block_on(backend.run(program, &job))?;
        Ok(start.elapsed().as_secs_f64())
    })
}

/// Loads a weight of made-up numbers.
///
/// # Errors
/// Those of the device.
pub(super) fn load(
    backend: &mut dyn Backend,
    spec: &WeightSpec,
    format: WeightFormat,
) -> Result<(), BackendError> {
    let (rows, inner) = spec.rows();
    backend.begin_weight(spec, format)?;
    for row in weight_rows(inner, format) {
        for _ in 0..rows {
            backend.write_weight(&row)?;
        }
    }
    backend.end_weight()
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

/// A row of what a weight consists of: its elements, or its integers and then its scales.
fn weight_rows(inner: usize, format: WeightFormat) -> Vec<Vec<u8>> {
    match format {
        WeightFormat::Plain(dtype) => vec![floats(inner, dtype)],
        WeightFormat::Grouped(g) => {
            let integers = (0..g.row_bytes(inner)).map(|i| (i * 7919 % 251) as u8).collect();
            vec![integers, floats(g.groups(inner), g.scale)]
        }
    }
}

/// Numbers between -1 and 1.
pub(super) fn floats(len: usize, dtype: DType) -> Vec<u8> {
    let value = |i: usize| (i * 7919 % 1000) as f32 / 500.0 - 1.0;
    match dtype {
        DType::F16 => (0..len).flat_map(|i| half::f16::from_f32(value(i)).to_le_bytes()).collect(),
        DType::BF16 => (0..len).flat_map(|i| half::bf16::from_f32(value(i)).to_le_bytes()).collect(),
        _ => (0..len).flat_map(|i| value(i).to_le_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_make_up_a_weight_of_their_format() {
        for (name, format) in FORMATS {
            let bytes: usize = weight_rows(256, format).iter().map(|row| 5 * row.len()).sum();
            assert_eq!(Some(bytes), format.bytes(&[5, 256]), "{name}");
        }
    }
}
