//! Products with weights: linear with all that can be fused into it, gate_up, embed, routed or not, against f64.

mod common;

use common::*;
use monolens_cpu::CpuBackend;
use monolens_graph::backend::Job;
use monolens_graph::batch::{self, NO_VISUAL, ROUTE_BLOCK, RowInfo};
use monolens_graph::ops::{self, Linear, Residual};
use monolens_graph::plan::Fusions;
use monolens_graph::{Axis, Backend, DType, Expert, GraphBuilder, Routed};

/// Text and visual values of a weight, loaded under two names.
fn experts(backend: &mut CpuBackend, name: &str, shape: &[usize], dtype: DType, seed: u64) -> [Vec<f64>; 2] {
    [(name.to_owned(), seed), (format!("{name}_ve"), seed + 1)].map(|(name, seed)| {
        let values = stored(dtype, &floats(&mut rng(seed), shape.iter().product()));
        load(backend, &name, shape, dtype, &values);
        wide(&values)
    })
}

/// Picks each row from the result of its modality.
fn blend(mask: &[bool], text: &[f64], visual: &[f64]) -> Vec<f64> {
    let width = if mask.is_empty() { 1 } else { text.len() / mask.len() };
    let pick = |(i, &v): (usize, &bool)| (if v { visual } else { text })[i * width..][..width].to_vec();
    mask.iter().enumerate().flat_map(pick).collect()
}

struct Case {
    dtype: DType,
    rows: usize,
    inner: usize,
    columns: usize,
    norm: bool,
    bias: bool,
    gelu: bool,
    residual: u8,
}

fn linear_case(backend: &mut CpuBackend, case: &Case, mask: Option<&[bool]>, limit: f64) {
    let Case { dtype, rows, inner, columns, .. } = *case;
    let mut g = GraphBuilder::new("linear");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), inner.into()]);
    let r = g.input("r", DType::F32, [Axis::Rows.into(), columns.into()]);
    let table = g.input(batch::ROUTING, DType::U32, [Axis::RouteBlocks.into(), (1 + ROUTE_BLOCK).into()]);
    let (text, visual) = (g.weight("w", [columns, inner]), g.weight("w_ve", [columns, inner]));
    let (b_text, b_visual) = (g.weight("b", [columns]), g.weight("b_ve", [columns]));
    let (norm, scale) = (g.weight("norm", [inner]), g.weight("scale", [columns]));
    let routed = mask.is_some();
    fn of<T>(routed: bool, a: T, b: T) -> Routed<T> {
        if routed { Routed::split(a, b) } else { Routed::shared(a) }
    }
    let weight = of(routed, Expert::Weight(text), Expert::Weight(visual));
    let op = Linear {
        norm: case.norm.then_some(ops::RmsNorm { weight: norm, eps: 1e-5 }),
        gelu: case.gelu,
        residual: match case.residual {
            0 => Residual::None,
            1 => Residual::Add,
            _ => Residual::Scaled(scale),
        },
        ..Linear::routed(weight, case.bias.then(|| of(routed, b_text, b_visual)))
    };
    let mut inputs = vec![x];
    inputs.extend((case.residual > 0).then_some(r));
    inputs.extend(routed.then_some(table));
    let y = g.push("y", op, &inputs).unwrap();
    g.output("y", y).unwrap();

    let seed = (rows * 31 + inner * 7 + columns) as u64;
    let (x, r) = (floats(&mut rng(seed), rows * inner), floats(&mut rng(seed + 1), rows * columns));
    let w = experts(backend, "w", &[columns, inner], dtype, seed + 2);
    let b = experts(backend, "b", &[columns], dtype, seed + 4);
    let [n, _] = experts(backend, "norm", &[inner], dtype, seed + 6);
    let [s, _] = experts(backend, "scale", &[columns], dtype, seed + 8);
    let routing = batch::routing(mask.unwrap_or(&vec![false; rows]));
    let mut job = Job::new(rows_axes(rows));
    job.input("x", bytemuck::cast_slice(&x)).input("r", bytemuck::cast_slice(&r));
    job.input(batch::ROUTING, bytemuck::cast_slice(&routing)).read("y");
    let out = run(backend, &g.finish(), Fusions::ALL, &job);

    let normed = if case.norm { rms_norm(&wide(&x), &n, f64::from(1e-5_f32)) } else { wide(&x) };
    let one = |m: usize| -> Vec<f64> {
        let mut y = product(&normed, &w[m], inner);
        for (i, y) in y.iter_mut().enumerate() {
            let c = i % columns;
            *y += if case.bias { b[m][c] } else { 0.0 };
            *y = if case.gelu { gelu(*y) } else { *y };
            match case.residual {
                0 => {}
                1 => *y += f64::from(r[i]),
                _ => *y = f64::from(r[i]) + s[c] * *y,
            }
        }
        y
    };
    let want = match mask {
        Some(mask) => blend(mask, &one(0), &one(1)),
        None => one(0),
    };
    let error = nmse(&out["y"].f32s(), &want);
    assert!(error <= limit, "{rows} x {inner} x {columns} {dtype}: NMSE {error:e}");
}

const SHAPES: [(usize, usize); 6] = [(1, 1), (31, 7), (64, 97), (34, 130), (131, 5), (258, 193)];

#[test]
fn linear_with_everything_fused_equals_its_formula() {
    let mut backend = exact();
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for (i, rows) in ROWS.into_iter().enumerate() {
            for (j, (inner, columns)) in SHAPES.into_iter().enumerate() {
                let bit = |b: usize| (i * 5 + j) >> b & 1 == 1;
                let residual = ((i + j) % 3) as u8;
                let case =
                    Case { dtype, rows, inner, columns, norm: bit(0), bias: bit(1), gelu: bit(2), residual };
                linear_case(&mut backend, &case, None, 1e-10);
            }
        }
    }
}

#[test]
fn routed_linear_gives_each_row_its_expert() {
    let mut backend = exact();
    for dtype in [DType::F32, DType::BF16] {
        for rows in ROWS {
            for (i, mask) in masks(rows, 5).iter().enumerate() {
                let (inner, columns) = SHAPES[i % SHAPES.len()];
                let (bias, norm) = (i % 2 == 0, i % 3 == 0);
                let case =
                    Case { dtype, rows, inner, columns, norm, bias, gelu: false, residual: (i % 3) as u8 };
                linear_case(&mut backend, &case, Some(mask), 1e-10);
            }
        }
    }
}

#[test]
fn fast_products_stay_within_the_limit_of_bf16() {
    let mut backend = fast();
    for rows in [1, 5, 9, 16, 17, 33, 64, 65, 97, 130, 530] {
        for (inner, columns) in [(2, 1), (34, 130), (258, 193), (2050, 97), (4096, 7), (66, 100)] {
            let case = Case {
                dtype: DType::BF16,
                rows,
                inner,
                columns,
                norm: false,
                bias: true,
                gelu: false,
                residual: 1,
            };
            linear_case(&mut backend, &case, None, 5e-4);
            let mask: Vec<bool> = (0..rows).map(|i| i % 3 == 0).collect();
            linear_case(&mut backend, &case, Some(&mask), 5e-4);
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_products() {
    use monolens_cpu::{CpuOptions, Isa};
    for isa in Isa::available() {
        for arithmetic in [monolens_cpu::Arithmetic::Exact, monolens_cpu::Arithmetic::Fast] {
            let options = CpuOptions { threads: Some(1), arithmetic };
            let mut backend = CpuBackend::with_isa(options, isa).unwrap();
            for dtype in [DType::F32, DType::BF16, DType::F16] {
                for rows in [1, 3, 40] {
                    let case = Case {
                        dtype,
                        rows,
                        inner: 134,
                        columns: 99,
                        norm: true,
                        bias: false,
                        gelu: false,
                        residual: 0,
                    };
                    linear_case(&mut backend, &case, None, 5e-4);
                }
            }
        }
    }
}

#[test]
fn an_identity_expert_passes_its_rows_on() {
    for (rows, mask) in ROWS.into_iter().flat_map(|rows| masks(rows, 1).into_iter().map(move |m| (rows, m))) {
        let d = 19;
        let mut g = GraphBuilder::new("chained");
        let x = g.input("x", DType::F32, [Axis::Rows.into(), d.into()]);
        let table = g.input(batch::ROUTING, DType::U32, [Axis::RouteBlocks.into(), (1 + ROUTE_BLOCK).into()]);
        let ve = g.weight("w_ve", [d, d]);
        let op = Linear::routed(Routed::split(Expert::Identity, Expert::Weight(ve)), None);
        let y = g.push("y", op, &[x, table]).unwrap();
        let z = g.push("z", ops::Add, &[x, y]).unwrap();
        g.output("z", z).unwrap();
        let mut backend = exact();
        let [_, w] = experts(&mut backend, "w", &[d, d], DType::F32, 3);
        let x = floats(&mut rng(8), rows * d);
        let routing = batch::routing(&mask);
        let mut job = Job::new(rows_axes(rows));
        job.input("x", bytemuck::cast_slice(&x))
            .input(batch::ROUTING, bytemuck::cast_slice(&routing))
            .read("z");
        let out = run(&mut backend, &g.finish(), Fusions::ALL, &job);
        let x = wide(&x);
        let doubled: Vec<f64> = x.iter().map(|v| 2.0 * v).collect();
        let added: Vec<f64> = x.iter().zip(product(&x, &w, d)).map(|(a, b)| a + b).collect();
        close(&out["z"], &blend(&mask, &doubled, &added), 1e-10);
    }
}

#[test]
fn gate_up_gives_each_row_its_experts() {
    for dtype in [DType::F32, DType::BF16] {
        for rows in ROWS {
            for (i, mask) in masks(rows, 2).into_iter().enumerate() {
                let (d, f) = SHAPES[(rows + i) % SHAPES.len()];
                let mut g = GraphBuilder::new("gate_up");
                let x = g.input("x", DType::F32, [Axis::Rows.into(), d.into()]);
                let table =
                    g.input(batch::ROUTING, DType::U32, [Axis::RouteBlocks.into(), (1 + ROUTE_BLOCK).into()]);
                let mut pair = |name: &str| {
                    Routed::split(g.weight(name, [f, d]), g.weight(format!("{name}_ve"), [f, d]))
                };
                let (gate, up) = (pair("gate"), pair("up"));
                let weight = g.weight("norm", [d]);
                let norm = (i % 2 == 0).then_some(ops::RmsNorm { weight, eps: 1e-5 });
                let y = g.push("y", ops::GateUp { gate, up, norm }, &[x, table]).unwrap();
                g.output("y", y).unwrap();
                let mut backend = exact();
                let gates = experts(&mut backend, "gate", &[f, d], dtype, 3);
                let ups = experts(&mut backend, "up", &[f, d], dtype, 5);
                let [n, _] = experts(&mut backend, "norm", &[d], dtype, 7);
                let x = floats(&mut rng(8), rows * d);
                let routing = batch::routing(&mask);
                let mut job = Job::new(rows_axes(rows));
                job.input("x", bytemuck::cast_slice(&x));
                job.input(batch::ROUTING, bytemuck::cast_slice(&routing)).read("y");
                let out = run(&mut backend, &g.finish(), Fusions::ALL, &job);
                let x = if norm.is_some() { rms_norm(&wide(&x), &n, f64::from(1e-5_f32)) } else { wide(&x) };
                let [text, visual] = [0, 1].map(|m| {
                    let (g, u) = (product(&x, &gates[m], d), product(&x, &ups[m], d));
                    g.iter().zip(u).map(|(&g, u)| silu(g) * u).collect::<Vec<_>>()
                });
                close(&out["y"], &blend(&mask, &text, &visual), 1e-10);
            }
        }
    }
}

#[test]
fn embed_takes_visual_rows_from_the_state() {
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for rows in ROWS {
            let (vocab, d, slots) = (23, 11, 6);
            let mut g = GraphBuilder::new("embed");
            let infos = g.input(batch::ROWS, DType::U32, [Axis::Rows.into(), 4.into()]);
            let visual_rows = g.input(batch::VISUAL_ROWS, DType::U32, [Axis::Rows.into()]);
            let state = g.state(batch::VISUAL, DType::F32, [Axis::VisualSlots.into(), d.into()]);
            let table = g.weight("table", [vocab, d]);
            let y = g.push("y", ops::Embed { table }, &[infos, visual_rows, state]).unwrap();
            g.output("y", y).unwrap();
            let mut backend = exact();
            let values = stored(dtype, &floats(&mut rng(1), vocab * d));
            load(&mut backend, "table", &[vocab, d], dtype, &values);
            backend.allocate_state(batch::VISUAL, DType::F32, slots, d).unwrap();
            let embeddings = floats(&mut rng(2), slots * d);
            backend.write_state(batch::VISUAL, bytemuck::cast_slice(&embeddings)).unwrap();
            let infos: Vec<RowInfo> =
                (0..rows).map(|i| RowInfo { id: (i * 7 % vocab) as u32, ..RowInfo::default() }).collect();
            let visual: Vec<u32> =
                (0..rows).map(|i| if i % 3 == 1 { (i % slots) as u32 } else { NO_VISUAL }).collect();
            let mut job = Job::new(rows_axes(rows).with(Axis::VisualSlots, slots));
            job.input(batch::ROWS, bytemuck::cast_slice(&infos));
            job.input(batch::VISUAL_ROWS, bytemuck::cast_slice(&visual)).read("y");
            let out = run(&mut backend, &g.finish(), Fusions::ALL, &job)["y"].f32s();
            for i in 0..rows {
                let want = match visual[i] {
                    NO_VISUAL => &values[infos[i].id as usize * d..][..d],
                    slot => &embeddings[slot as usize * d..][..d],
                };
                assert_eq!(&out[i * d..][..d], want);
            }
        }
    }
}
