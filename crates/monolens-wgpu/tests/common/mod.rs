//! What the tests share: opening a backend or saying visibly that there is none, random numbers, small graphs.
#![allow(dead_code)]

use monolens_graph::backend::{HostTensor, Job, ProgramId};
use monolens_graph::batch::{ROUTE_BLOCK, ROUTING};
use monolens_graph::plan::Plan;
use monolens_graph::{
    Axes, Axis, Backend, BackendError, DType, Expert, Graph, GraphBuilder, Routed, ValueId, ops,
};
use monolens_wgpu::{WgpuBackend, WgpuOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// A backend on any adapter, also a software one; without one the test says SKIPPED, and fails where
/// `MONOLENS_REQUIRE_WGPU` is set.
pub fn open(options: WgpuOptions) -> Option<WgpuBackend> {
    match pollster::block_on(WgpuBackend::open(WgpuOptions { allow_software: true, ..options })) {
        Ok(backend) => Some(backend),
        Err(error) => {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            eprintln!("SKIPPED {test}: {error}");
            assert!(
                std::env::var_os("MONOLENS_REQUIRE_WGPU").is_none(),
                "MONOLENS_REQUIRE_WGPU is set: {error}"
            );
            None
        }
    }
}

/// A routed FFN with its norm: its inner layer, and the result with the residual.
pub fn routed_ffn(g: &mut GraphBuilder, width: usize, inner: usize) -> [ValueId; 2] {
    let x = g.input("x", DType::F32, [Axis::Rows.into(), width.into()]);
    let table = g.input(ROUTING, DType::U32, [Axis::RouteBlocks.into(), (1 + ROUTE_BLOCK).into()]);
    let weight = g.weight("norm", [width]);
    let mut experts = |name: &str, shape: [usize; 2]| {
        let text = g.weight(name, shape);
        Routed::split(Expert::Weight(text), Expert::Weight(g.weight(format!("{name}_ve"), shape)))
    };
    let up_shape = [inner, width];
    let (w1, w3, w2) = (experts("w1", up_shape), experts("w3", up_shape), experts("w2", [width, inner]));
    let z = g.push("norm", ops::RmsNorm { weight, eps: 1e-5 }, &[x]).unwrap();
    let gate = g.push("w1", ops::Linear::routed(w1, None), &[z, table]).unwrap();
    let up = g.push("w3", ops::Linear::routed(w3, None), &[z, table]).unwrap();
    let h = g.push("swiglu", ops::SwiGlu, &[gate, up]).unwrap();
    let down = g.push("w2", ops::Linear::routed(w2, None), &[h, table]).unwrap();
    [h, g.push("residual", ops::Add, &[x, down]).unwrap()]
}

/// Random numbers around 0.
pub fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Loads a weight of the graph as f32.
pub fn load(backend: &mut WgpuBackend, graph: &Graph, name: &str, elements: &[f32]) {
    let spec = graph.weights.iter().find(|w| w.name == name).expect("a weight of this name");
    backend.begin_weight(spec, DType::F32.into()).unwrap();
    let bytes: &[u8] = bytemuck::cast_slice(elements);
    bytes.chunks(1001).for_each(|piece| backend.write_weight(piece).unwrap());
    backend.end_weight().unwrap();
}

/// Loads every weight of the graph with random numbers.
pub fn load_random(backend: &mut WgpuBackend, graph: &Graph) {
    for (seed, spec) in (1..).zip(&graph.weights) {
        load(backend, graph, &spec.name, &random(spec.shape.iter().product(), seed));
    }
}

pub fn prepare(backend: &mut WgpuBackend, graph: &Graph, limits: Axes) -> ProgramId {
    let plan = Plan::new(graph, backend.capabilities(), limits);
    pollster::block_on(backend.prepare(plan)).unwrap()
}

/// Runs a program and reads all outputs of its graph.
pub fn run(
    backend: &mut WgpuBackend,
    program: ProgramId,
    graph: &Graph,
    axes: Axes,
    inputs: &[(&str, &[u8])],
) -> Result<BTreeMap<String, HostTensor>, BackendError> {
    let mut job = Job::new(axes);
    for (name, bytes) in inputs {
        job.input(name, bytes);
    }
    graph.outputs.keys().for_each(|name| {
        job.read(name);
    });
    pollster::block_on(backend.run(program, &job))
}

/// The NMSE of `got`.
pub fn nmse(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let error: f64 = got.iter().zip(want).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    error / want.iter().map(|&b| f64::from(b).powi(2)).sum::<f64>()
}
