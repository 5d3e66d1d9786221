//! What the tests of operators share: running small graphs, numbers, a decoder layer, naive products in f64.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod layer;

use half::{bf16, f16};
use monolens_cpu::{Arithmetic, CpuBackend, CpuOptions};
use monolens_graph::backend::{HostTensor, Job, Outputs};
use monolens_graph::plan::{Capabilities, Fusions, Plan};
use monolens_graph::{Axes, Axis, Backend, BackendError, DType, Graph, Source, WeightSpec, eight};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Row counts with primes, nothing, one, and both sides of block borders.
pub const ROWS: [usize; 12] = [0, 1, 2, 3, 5, 7, 16, 31, 64, 65, 97, 130];

pub fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

pub fn floats(rng: &mut StdRng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

pub fn bytes_of(dtype: DType, values: &[f32]) -> Vec<u8> {
    match dtype {
        DType::F32 => bytemuck::cast_slice(values).to_vec(),
        DType::F16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
        DType::BF16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        DType::U32 | DType::I8 => panic!("floats"),
    }
}

/// What is left of the values, those of a head, when stored as `dtype`.
pub fn stored(dtype: DType, values: &[f32]) -> Vec<f32> {
    match dtype {
        DType::F16 => values.iter().map(|&x| f16::from_f32(x).to_f32()).collect(),
        DType::BF16 => values.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
        DType::I8 => {
            let mut record = vec![0; eight::bytes(values.len())];
            eight::round(values, &mut record);
            let mut out = vec![0.0; values.len()];
            eight::widen(&record, &mut out);
            out
        }
        _ => values.to_vec(),
    }
}

pub fn exact() -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(2), arithmetic: Arithmetic::Exact }).unwrap()
}

pub fn fast() -> CpuBackend {
    CpuBackend::new(CpuOptions { threads: Some(2), arithmetic: Arithmetic::Fast }).unwrap()
}

pub fn load(backend: &mut CpuBackend, name: &str, shape: &[usize], dtype: DType, values: &[f32]) {
    let spec = WeightSpec { name: name.into(), shape: shape.to_vec() };
    backend.begin_weight(&spec, dtype.into()).unwrap();
    // Pieces that cut elements.
    for piece in bytes_of(dtype, values).chunks(1001) {
        backend.write_weight(piece).unwrap();
    }
    backend.end_weight().unwrap();
}

/// Random weights for all that a graph names, stored as `dtype`; matrices small enough to keep sums of order 1.
pub fn load_random(backend: &mut CpuBackend, graph: &Graph, dtype: DType, seed: u64) {
    for (i, spec) in graph.weights.iter().enumerate() {
        let len: usize = spec.shape.iter().product();
        let mut values = floats(&mut rng(seed + i as u64), len);
        if spec.shape.len() == 2 {
            let scale = (3.0 / spec.shape[1] as f32).sqrt();
            values.iter_mut().for_each(|v| *v *= scale);
        }
        load(backend, &spec.name, &spec.shape, dtype, &values);
    }
}

pub fn allocate(backend: &mut CpuBackend, graph: &Graph, axes: &Axes) {
    for (_, value) in graph.of_source(Source::State) {
        let (rows, width) = (value.shape.rows(axes), value.shape.width().unwrap());
        backend.allocate_state(&value.name, value.dtype, rows, width).unwrap();
    }
}

pub fn capabilities(fusions: Fusions) -> Capabilities {
    Capabilities { fusions, max_binding: u64::MAX, kv_dtype: DType::F32 }
}

pub fn run_plan(backend: &mut CpuBackend, plan: Plan, job: &Job<'_>) -> Result<Outputs, BackendError> {
    let program = pollster::block_on(backend.prepare(plan))?;
    pollster::block_on(backend.run(program, job))
}

pub fn run(backend: &mut CpuBackend, graph: &Graph, fusions: Fusions, job: &Job<'_>) -> Outputs {
    let plan = Plan::new(graph, &capabilities(fusions), job.axes);
    run_plan(backend, plan, job).unwrap()
}

/// Sum of squared differences over the sum of squares.
pub fn nmse(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let error: f64 = got.iter().zip(want).map(|(&a, &b)| (f64::from(a) - b).powi(2)).sum();
    let power: f64 = want.iter().map(|b| b * b).sum();
    if error == 0.0 { 0.0 } else { error / power.max(1e-30) }
}

#[track_caller]
pub fn close(got: &HostTensor, want: &[f64], limit: f64) {
    let error = nmse(&got.f32s(), want);
    assert!(error <= limit, "NMSE {error:e}, limit {limit:e}");
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// `x·wᵀ` in f64.
pub fn product(x: &[f64], w: &[f64], inner: usize) -> Vec<f64> {
    let rows = x.chunks(inner);
    rows.flat_map(|x| w.chunks(inner).map(move |w| x.iter().zip(w).map(|(a, b)| a * b).sum())).collect()
}

pub fn rms_norm(x: &[f64], weight: &[f64], eps: f64) -> Vec<f64> {
    let n = weight.len();
    let norm = |x: &[f64]| 1.0 / (x.iter().map(|v| v * v).sum::<f64>() / n as f64 + eps).sqrt();
    x.chunks(n).flat_map(|x| x.iter().zip(weight).map(move |(v, w)| v * norm(x) * w)).collect()
}

pub fn silu(t: f64) -> f64 {
    t / (1.0 + (-t).exp())
}

pub fn gelu(x: f64) -> f64 {
    x / 2.0 * (1.0 + libm::erf(x / 2.0_f64.sqrt()))
}

pub fn softmax(x: &mut [f64]) {
    let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    x.iter_mut().for_each(|v| *v = (*v - most).exp());
    let sum: f64 = x.iter().sum();
    x.iter_mut().for_each(|v| *v /= sum);
}

/// Which rows are visual, in several patterns.
pub fn masks(rows: usize, seed: u64) -> Vec<Vec<bool>> {
    let mut rng = rng(seed);
    vec![
        vec![false; rows],
        vec![true; rows],
        (0..rows).map(|i| i % 2 == 1).collect(),
        (0..rows).map(|i| i >= rows / 3 && i < rows * 2 / 3).collect(),
        (0..rows).map(|_| rng.random_bool(0.1)).collect(),
    ]
}

pub fn rows_axes(rows: usize) -> Axes {
    Axes::new().with(Axis::Rows, rows).with(Axis::RouteBlocks, rows.div_ceil(64)).with(Axis::Tiles, rows)
}
