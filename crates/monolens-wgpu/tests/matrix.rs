//! Matrix units give what the kernels of the baseline tier give, which operator parity holds to the CPU reference.

mod common;

use common::{nmse, prepare, random, routed_ffn, run};
use half::{bf16, f16};
use monolens_graph::batch::{ROUTE_BLOCK, ROUTING, routing};
use monolens_graph::{Axes, Axis, Backend, Bits, DType, Graph, GraphBuilder, Grouped, WeightFormat, ops};
use monolens_wgpu::{MatrixUnit, Tier, WgpuBackend, WgpuOptions};

/// Neither is a multiple of a tile.
const D: usize = 160;
const F: usize = 320;
const FORMATS: [WeightFormat; 5] = [
    WeightFormat::Plain(DType::F32),
    WeightFormat::Plain(DType::BF16),
    WeightFormat::Plain(DType::F16),
    WeightFormat::Grouped(Grouped { bits: Bits::Eight, group: 32, scale: DType::BF16 }),
    WeightFormat::Grouped(Grouped { bits: Bits::Four, group: 32, scale: DType::BF16 }),
];

/// A routed FFN with its norm, then a projection that all rows share.
fn graph() -> Graph {
    let mut g = GraphBuilder::new("ffn");
    let [h, y] = routed_ffn(&mut g, D, F);
    let (out, bias) = (g.weight("out", [F, D]), g.weight("bias", [F]));
    let last = g.push("out", ops::Linear::shared(out, Some(bias)), &[y]).unwrap();
    g.output("h", h).unwrap();
    g.output("last", last).unwrap();
    g.finish()
}

fn bytes_of(elements: &[f32], format: WeightFormat, inner: usize) -> Vec<u8> {
    match format {
        WeightFormat::Plain(DType::BF16) => {
            elements.iter().flat_map(|&v| bf16::from_f32(v).to_le_bytes()).collect()
        }
        WeightFormat::Plain(DType::F16) => {
            elements.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect()
        }
        WeightFormat::Plain(_) => bytemuck::cast_slice(elements).to_vec(),
        WeightFormat::Grouped(g) => {
            let most = (g.bits.offset() - 1) as f32;
            let integers: Vec<i32> = elements.iter().map(|v| (v * most) as i32).collect();
            let words = integers.chunks(g.bits.per_word()).map(|some| g.bits.pack(some));
            let scale = bf16::from_f32(1.0 / most).to_le_bytes();
            let scales = (0..elements.len() / inner * g.groups(inner)).flat_map(|_| scale);
            words.flat_map(u32::to_le_bytes).chain(scales).collect()
        }
    }
}

fn load(backend: &mut WgpuBackend, graph: &Graph, format: WeightFormat) {
    for (seed, spec) in (1..).zip(&graph.weights) {
        let elements = random(spec.shape.iter().product(), seed);
        let format = if spec.shape.len() == 1 { DType::F32.into() } else { format };
        backend.begin_weight(spec, format).unwrap();
        backend.write_weight(&bytes_of(&elements, format, spec.rows().1)).unwrap();
        backend.end_weight().unwrap();
    }
}

/// Rows of ordinary size, one with an outlier that f16 cannot hold, one of tiny values.
fn rows_of(rows: usize) -> Vec<f32> {
    let mut x = random(rows * D, 99);
    x[rows / 2 * D + 3] = 1.2e5;
    x[(rows - 1) * D..].iter_mut().for_each(|v| *v *= 1e-3);
    x
}

fn results(
    backend: &mut WgpuBackend,
    graph: &Graph,
    format: WeightFormat,
    rows: usize,
) -> Vec<(String, Vec<f32>)> {
    load(backend, graph, format);
    let axes = |n: usize| Axes::new().with(Axis::Rows, n).with(Axis::RouteBlocks, n.div_ceil(ROUTE_BLOCK));
    let program = prepare(backend, graph, axes(200));
    let x = rows_of(rows);
    let visual: Vec<bool> = (0..rows).map(|i| i % 3 == 1 || (70..90).contains(&i)).collect();
    let table = routing(&visual);
    let inputs = [("x", bytemuck::cast_slice(&x)), (ROUTING, bytemuck::cast_slice(&table))];
    let results = run(backend, program, graph, axes(rows), &inputs).unwrap();
    results.into_iter().map(|(name, tensor)| (name, tensor.f32s())).collect()
}

fn open(tier: Tier, matrix_unit: Option<MatrixUnit>) -> Option<WgpuBackend> {
    let options =
        WgpuOptions { tier: Some(tier), matrix_unit, allow_software: true, ..WgpuOptions::default() };
    match pollster::block_on(WgpuBackend::open(options)) {
        Ok(backend) => Some(backend),
        Err(error) => {
            println!("SKIPPED: {error}");
            let required = std::env::var_os("MONOLENS_REQUIRE_WGPU").is_some() && tier == Tier::Baseline;
            assert!(!required, "MONOLENS_REQUIRE_WGPU is set: {error}");
            None
        }
    }
}

#[test]
fn matrix_units_give_what_the_baseline_gives() {
    let Some(mut reference) = open(Tier::Baseline, None) else { return };
    let graph = graph();
    for unit in MatrixUnit::ALL {
        let Some(mut backend) = open(Tier::Matrix, Some(unit)) else { continue };
        for format in FORMATS {
            for rows in [5, 150] {
                let want = results(&mut reference, &graph, format, rows);
                let got = results(&mut backend, &graph, format, rows);
                for ((name, got), (_, want)) in got.iter().zip(&want) {
                    let error = nmse(got, want);
                    println!("{unit:?}, {format}, {rows} rows, {name}: NMSE {error:.1e}");
                    assert!(error < 1e-6, "{unit:?}, {format}, {rows} rows, {name}: {error:e}");
                }
            }
        }
    }
}
