//! Operators on rows and elements, each against its formula in f64.

mod common;

use common::*;
use monolens_graph::backend::Job;
use monolens_graph::ops::{self, Op, TokenOrder};
use monolens_graph::plan::Fusions;
use monolens_graph::{Axis, DType, GraphBuilder, WeightId};

const WIDTHS: [usize; 6] = [1, 2, 7, 31, 64, 257];

/// Runs one operator over f32 rows [rows, width] for all row counts and widths, and holds it to `want`.
fn rows_op(
    inputs: usize,
    make: impl Fn(&mut GraphBuilder, usize) -> Op,
    want: impl Fn(&[Vec<f64>], &[Vec<f64>]) -> Vec<f64>,
) {
    for rows in ROWS {
        for width in WIDTHS {
            let mut g = GraphBuilder::new("rows");
            let names = ["a", "b"];
            let values: Vec<_> = names[..inputs]
                .iter()
                .map(|name| g.input(name, DType::F32, [Axis::Rows.into(), width.into()]))
                .collect();
            let op = make(&mut g, width);
            let y = g.push("y", op, &values).unwrap();
            g.output("y", y).unwrap();
            let graph = g.finish();
            let mut rng = rng((rows * 1000 + width) as u64);
            let data: Vec<Vec<f32>> = (0..inputs).map(|_| floats(&mut rng, rows * width)).collect();
            let mut backend = exact();
            let mut weights = Vec::new();
            for spec in &graph.weights {
                let values = floats(&mut rng, width);
                load(&mut backend, &spec.name, &spec.shape, DType::F32, &values);
                weights.push(wide(&values));
            }
            let mut job = Job::new(rows_axes(rows));
            for (name, data) in names.iter().zip(&data) {
                job.input(name, bytemuck::cast_slice(data));
            }
            job.read("y");
            let wanted = want(&data.iter().map(|d| wide(d)).collect::<Vec<_>>(), &weights);
            for _ in 0..3 {
                let out = run(&mut backend, &graph, Fusions::ALL, &job);
                close(&out["y"], &wanted, 1e-7);
            }
        }
    }
}

fn weight(g: &mut GraphBuilder, name: &str, width: usize) -> WeightId {
    g.weight(name, [width])
}

#[test]
fn add_is_the_sum() {
    rows_op(2, |_, _| ops::Add.into(), |x, _| x[0].iter().zip(&x[1]).map(|(a, b)| a + b).collect());
}

#[test]
fn scaled_add_scales_the_second() {
    rows_op(
        2,
        |g, n| ops::ScaledAdd { scale: weight(g, "scale", n) }.into(),
        |x, w| (0..x[0].len()).map(|i| x[0][i] + w[0][i % w[0].len()] * x[1][i]).collect(),
    );
}

#[test]
fn swiglu_gates() {
    let want = |x: &[Vec<f64>], _: &[Vec<f64>]| x[0].iter().zip(&x[1]).map(|(&g, u)| silu(g) * u).collect();
    rows_op(2, |_, _| ops::SwiGlu.into(), want);
}

#[test]
fn gelu_is_the_exact_one() {
    rows_op(1, |_, _| ops::Gelu.into(), |x, _| x[0].iter().map(|&v| gelu(v)).collect());
}

#[test]
fn rms_norm_divides_by_the_root_mean_square() {
    rows_op(
        1,
        |g, n| ops::RmsNorm { weight: weight(g, "w", n), eps: 1e-5 }.into(),
        |x, w| rms_norm(&x[0], &w[0], f64::from(1e-5_f32)),
    );
}

#[test]
fn layer_norm_takes_mean_and_variance() {
    rows_op(
        1,
        |g, n| ops::LayerNorm { weight: weight(g, "w", n), bias: weight(g, "b", n), eps: 1e-6 }.into(),
        |x, w| {
            let n = w[0].len();
            let norm = |x: &[f64]| {
                let mean = x.iter().sum::<f64>() / n as f64;
                let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
                let scale = 1.0 / (var + f64::from(1e-6_f32)).sqrt();
                (0..n).map(|i| (x[i] - mean) * scale * w[0][i] + w[1][i]).collect::<Vec<_>>()
            };
            x[0].chunks(n).flat_map(norm).collect()
        },
    );
}

#[test]
fn norms_of_outliers_are_right() {
    let mut g = GraphBuilder::new("outliers");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), 2048.into()]);
    let w = g.weight("w", [2048]);
    let y = g.push("y", ops::RmsNorm { weight: w, eps: 1e-5 }, &[x]).unwrap();
    g.output("y", y).unwrap();
    let mut values = floats(&mut rng(3), 2048);
    values[7] = 1e5;
    values[900] = -3e6;
    let mut backend = exact();
    load(&mut backend, "w", &[2048], DType::BF16, &[1.0; 2048]);
    let mut job = Job::new(rows_axes(1));
    job.input("x", bytemuck::cast_slice(&values)).read("y");
    let out = run(&mut backend, &g.finish(), Fusions::NONE, &job);
    close(&out["y"], &rms_norm(&wide(&values), &[1.0; 2048], f64::from(1e-5_f32)), 1e-7);
}

#[test]
fn gelu_and_swiglu_are_right_far_out() {
    let x: Vec<f32> = (-400..400).map(|i| i as f32 / 10.0).chain([1e5, -1e5, 0.0, -0.0, 1e-30]).collect();
    let mut g = GraphBuilder::new("far");
    let a = g.input("a", DType::F32, [Axis::Rows.into(), x.len().into()]);
    let gelu_out = g.push("gelu", ops::Gelu, &[a]).unwrap();
    let silu_out = g.push("silu", ops::SwiGlu, &[a, a]).unwrap();
    g.output("gelu", gelu_out).unwrap();
    g.output("silu", silu_out).unwrap();
    let mut job = Job::new(rows_axes(1));
    job.input("a", bytemuck::cast_slice(&x)).read("gelu").read("silu");
    let out = run(&mut exact(), &g.finish(), Fusions::NONE, &job);
    for (i, &x) in x.iter().enumerate() {
        let x = f64::from(x);
        let near = |got: f32, want: f64| (f64::from(got) - want).abs() <= 2e-6 * want.abs() + 1e-30;
        let (got, want) = (out["silu"].f32s()[i], silu(x) * x);
        assert!(near(got, want), "silu {x}: {got} {want}");
        let (got, want) = (out["gelu"].f32s()[i], x / 2.0 * libm::erfc(-x / 2.0_f64.sqrt()));
        // Where e^(−x²/2) is tiny its argument's rounding shows.
        let limit = 2e-6 * (1.0 + x * x) * want.abs() + 1e-30;
        assert!((f64::from(got) - want).abs() <= limit, "gelu {x}: {got} {want}");
    }
}

#[test]
fn qk_norm_leaves_values_alone() {
    for (rows, part) in [(0, 4), (1, 1), (5, 7), (17, 32), (3, 101)] {
        let mut g = GraphBuilder::new("qk_norm");
        let x = g.input("x", DType::F32, [Axis::Rows.into(), (3 * part).into()]);
        let (q, k) = (g.weight("q", [part]), g.weight("k", [part]));
        let y = g.push("y", ops::QkNorm { q, k, eps: 1e-6 }, &[x]).unwrap();
        g.output("y", y).unwrap();
        let mut rng = rng(part as u64);
        let (x, q, k) = (floats(&mut rng, rows * 3 * part), floats(&mut rng, part), floats(&mut rng, part));
        let mut backend = exact();
        load(&mut backend, "q", &[part], DType::F32, &q);
        load(&mut backend, "k", &[part], DType::F32, &k);
        let mut job = Job::new(rows_axes(rows));
        job.input("x", bytemuck::cast_slice(&x)).read("y");
        let out = run(&mut backend, &g.finish(), Fusions::NONE, &job);
        let eps = f64::from(1e-6_f32);
        let want: Vec<f64> = wide(&x)
            .chunks(3 * part)
            .flat_map(|r| {
                let mut y = rms_norm(&r[..part], &wide(&q), eps);
                y.extend(rms_norm(&r[part..2 * part], &wide(&k), eps));
                y.extend(&r[2 * part..]);
                y
            })
            .collect();
        close(&out["y"], &want, 1e-7);
    }
}

#[test]
fn patch_embed_is_a_convolution() {
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for (tiles, side, p, width) in
            [(0, 6, 2, 5), (1, 14, 14, 3), (2, 6, 3, 7), (3, 15, 5, 11), (1, 28, 7, 130)]
        {
            let mut g = GraphBuilder::new("patch");
            let x = g.input("x", DType::F32, [Axis::Tiles.into(), 3.into(), side.into(), side.into()]);
            let weight = g.weight("w", [width, 3, p, p]);
            let bias = g.weight("b", [width]);
            let y = g.push("y", ops::PatchEmbed { weight, bias, width, patch: p }, &[x]).unwrap();
            g.output("y", y).unwrap();
            let mut rng = rng(side as u64);
            let x = floats(&mut rng, tiles * 3 * side * side);
            let w = stored(dtype, &floats(&mut rng, width * 3 * p * p));
            let b = stored(dtype, &floats(&mut rng, width));
            let mut backend = exact();
            load(&mut backend, "w", &[width, 3, p, p], dtype, &w);
            load(&mut backend, "b", &[width], dtype, &b);
            let mut job = Job::new(rows_axes(tiles));
            job.input("x", bytemuck::cast_slice(&x)).read("y");
            let out = run(&mut backend, &g.finish(), Fusions::ALL, &job);
            let grid = side / p;
            let mut want = Vec::new();
            for tile in 0..tiles {
                for (r, c) in (0..grid * grid).map(|i| (i / grid, i % grid)) {
                    for o in 0..width {
                        let mut sum = f64::from(b[o]);
                        for (ch, i, j) in (0..3 * p * p).map(|n| (n / (p * p), n / p % p, n % p)) {
                            let pixel = x[((tile * 3 + ch) * side + r * p + i) * side + c * p + j];
                            sum += f64::from(pixel) * f64::from(w[((o * 3 + ch) * p + i) * p + j]);
                        }
                        want.push(sum);
                    }
                }
            }
            close(&out["y"], &want, 1e-6);
        }
    }
}

#[test]
fn position_embed_adds_rows_and_puts_the_class_token_first() {
    for (tiles, n, width, with_class) in
        [(0, 3, 4, true), (1, 1, 1, false), (2, 5, 7, true), (3, 16, 31, false)]
    {
        let mut g = GraphBuilder::new("position");
        let x = g.input("x", DType::F32, [Axis::Tiles.into(), n.into(), width.into()]);
        let table = g.weight("table", [1, 1 + n, width]);
        let class = with_class.then(|| g.weight("class", [1, 1, width]));
        let y = g.push("y", ops::PositionEmbed { table, class }, &[x]).unwrap();
        g.output("y", y).unwrap();
        let mut rng = rng(n as u64);
        let x = floats(&mut rng, tiles * n * width);
        let t = stored(DType::BF16, &floats(&mut rng, (1 + n) * width));
        let c = stored(DType::BF16, &floats(&mut rng, width));
        let mut backend = exact();
        load(&mut backend, "table", &[1, 1 + n, width], DType::BF16, &t);
        load(&mut backend, "class", &[1, 1, width], DType::BF16, &c);
        let mut job = Job::new(rows_axes(tiles));
        job.input("x", bytemuck::cast_slice(&x)).read("y");
        let out = run(&mut backend, &g.finish(), Fusions::ALL, &job);
        let mut want = Vec::new();
        for tile in 0..tiles {
            if with_class {
                want.extend((0..width).map(|i| f64::from(c[i]) + f64::from(t[i])));
            }
            for i in 0..n * width {
                want.push(f64::from(x[tile * n * width + i]) + f64::from(t[width + i]));
            }
        }
        close(&out["y"], &want, 1e-7);
    }
}

#[test]
fn pixel_shuffle_folds_neighbours_into_channels() {
    for order in [TokenOrder::RowMajor, TokenOrder::ColumnMajor] {
        for (tiles, side, s, width, class) in [
            (0, 2, 2, 3, false),
            (1, 2, 1, 5, true),
            (2, 4, 2, 3, false),
            (3, 6, 3, 2, true),
            (1, 8, 2, 33, false),
        ] {
            let n = side * side + usize::from(class);
            let mut g = GraphBuilder::new("shuffle");
            let x = g.input("x", DType::F32, [Axis::Tiles.into(), n.into(), width.into()]);
            let op = ops::PixelShuffle { side, scale: s, order, skip_class: class };
            let y = g.push("y", op, &[x]).unwrap();
            g.output("y", y).unwrap();
            let x = floats(&mut rng(9), tiles * n * width);
            let mut job = Job::new(rows_axes(tiles));
            job.input("x", bytemuck::cast_slice(&x)).read("y");
            let out = run(&mut exact(), &g.finish(), Fusions::ALL, &job)["y"].f32s();
            let t = side / s;
            for tile in 0..tiles {
                for (r, c) in (0..t * t).map(|i| (i / t, i % t)) {
                    let token = if order == TokenOrder::RowMajor { r * t + c } else { c * t + r };
                    for (di, dj, ch) in (0..s * s * width).map(|i| (i / width / s, i / width % s, i % width))
                    {
                        let patch = usize::from(class) + (s * r + di) * side + s * c + dj;
                        let want = x[(tile * n + patch) * width + ch];
                        let at = ((tile * t * t + token) * s * s + di * s + dj) * width + ch;
                        assert_eq!(out[at], want);
                    }
                }
            }
        }
    }
}

#[test]
fn store_rows_writes_each_tile_where_it_belongs() {
    use monolens_graph::Backend;
    let mut g = GraphBuilder::new("store");
    let x = g.input("x", DType::F32, [Axis::Tiles.into(), 3.into(), 5.into()]);
    let firsts = g.input("firsts", DType::U32, [Axis::Tiles.into()]);
    let state = g.state("visual", DType::F32, [Axis::VisualSlots.into(), 5.into()]);
    g.push_effect("store", ops::StoreRows, &[x, firsts, state]).unwrap();
    let graph = g.finish();
    let mut backend = exact();
    backend.allocate_state("visual", DType::F32, 11, 5).unwrap();
    backend.write_state("visual", bytemuck::cast_slice(&[9.0_f32; 55])).unwrap();
    let x = floats(&mut rng(4), 30);
    let mut job = Job::new(rows_axes(2).with(Axis::VisualSlots, 11));
    job.input("x", bytemuck::cast_slice(&x)).input("firsts", bytemuck::cast_slice(&[8_u32, 1]));
    run(&mut backend, &graph, Fusions::ALL, &job);
    let got = pollster::block_on(backend.read_state("visual")).unwrap().f32s();
    let mut want = vec![9.0; 55];
    want[40..55].copy_from_slice(&x[..15]);
    want[5..20].copy_from_slice(&x[15..]);
    assert_eq!(got, want);
}

#[test]
fn gather_rows_picks() {
    let mut g = GraphBuilder::new("gather");
    let x = g.input("x", DType::F32, [Axis::Rows.into(), 7.into()]);
    let rows = g.input("rows", DType::U32, [Axis::Samples.into()]);
    let y = g.push("y", ops::GatherRows, &[x, rows]).unwrap();
    g.output("y", y).unwrap();
    let graph = g.finish();
    let x = floats(&mut rng(4), 5 * 7);
    for picks in [vec![], vec![4_u32], vec![2, 2, 0]] {
        let mut job = Job::new(rows_axes(5).with(Axis::Samples, picks.len()));
        job.input("x", bytemuck::cast_slice(&x)).input("rows", bytemuck::cast_slice(&picks)).read("y");
        let out = run(&mut exact(), &graph, Fusions::ALL, &job)["y"].f32s();
        let want: Vec<f32> = picks.iter().flat_map(|&r| x[r as usize * 7..][..7].to_vec()).collect();
        assert_eq!(out, want);
    }
}
