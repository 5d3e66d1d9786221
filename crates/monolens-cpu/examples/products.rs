//! How fast products with weights are: GFLOP/s of many rows, GB/s of one row, beside the `gemm` crate and plain reading.
//!
//! `cargo run --release -p monolens-cpu --example products [THREADS]`. Median and best of at least five.

use half::bf16;
use monolens_cpu::kernels::{Matrix, MatrixMut, Product, View, gemm, matmul};
use monolens_cpu::{Arithmetic, Isa, Pool};
use std::hint::black_box;
use std::time::Instant;

/// Seconds on a CPU that all threads of this program have had, where the system tells (Linux).
fn cpu_seconds() -> Option<f64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let of = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(tasks.flatten().filter_map(of).sum::<f64>() * 1e-9)
}

/// Prints the rate by the clock, and by the time the threads were given: what an idle machine would do.
fn report(name: &str, unit: &str, threads: usize, amount: f64, mut work: impl FnMut()) {
    work();
    let mut times = Vec::new();
    let cpu = cpu_seconds();
    while times.len() < 5 || times.iter().sum::<f64>() < 0.3 {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_secs_f64());
    }
    let cpu = cpu.zip(cpu_seconds()).map(|(from, to)| (to - from) / times.len() as f64 / threads as f64);
    let count = times.len();
    times.sort_by(f64::total_cmp);
    let idle = cpu.map_or(String::new(), |cpu| format!(", by CPU time {:.1}", amount / cpu));
    println!("{name:44} {:8.1} {unit} (best {:.1}{idle})", amount / times[count / 2], amount / times[0]);
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|a| a.parse().ok());
    let pool = Pool::new(threads).expect("threads");
    println!("{} threads, {}", pool.threads(), Isa::detect().name());
    let number = |i: usize| ((i * 7919 % 1000) as f32 - 500.0) / 500.0;

    if std::env::args().nth(2).is_none() {
        for (rows, columns, inner) in [
            (310, 8192, 2048),
            (310, 2048, 8192),
            (310, 4096, 2048),
            (64, 8192, 2048),
            (16, 8192, 2048),
            (8, 8192, 2048),
        ] {
            let x: Vec<f32> = (0..rows * inner).map(number).collect();
            let w: Vec<bf16> = (0..columns * inner).map(|i| bf16::from_f32(number(i))).collect();
            let w32: Vec<f32> = w.iter().map(|w| w.to_f32()).collect();
            let gflop = 2e-9 * (rows * columns * inner) as f64;
            let shape = format!("{rows}x{inner}x{columns}");
            let part = columns.div_ceil(pool.threads());
            report(&format!("{shape} gemm crate, f32"), "GFLOP/s", pool.threads(), gflop, || {
                pool.each(pool.threads(), |i| {
                    let n = part.min(columns - i * part);
                    let mut out = vec![0.0; rows * n];
                    let w = Matrix::rows(&w32[i * part * inner..], inner).transposed();
                    gemm(
                        rows,
                        n,
                        inner,
                        MatrixMut { data: &mut out, row_stride: n },
                        false,
                        Matrix::rows(&x, inner),
                        w,
                    );
                    black_box(&out);
                });
            });
            for (name, arithmetic, w) in [
                ("exact, f32", Arithmetic::Exact, View::F32(&w32)),
                ("exact, bf16", Arithmetic::Exact, View::BF16(&w)),
                ("fast, bf16", Arithmetic::Fast, View::BF16(&w)),
            ] {
                let product = Product { pool: &pool, isa: Isa::detect(), arithmetic };
                report(&format!("{shape} {name}"), "GFLOP/s", pool.threads(), gflop, || {
                    matmul(product, &x, inner, &[w], &|_, _, parts| {
                        black_box(parts[0][0]);
                    });
                });
            }
        }
    }
    for columns in [96, 65_536] {
        let inner = 2048;
        let w: Vec<bf16> = (0..columns * inner).map(|i| bf16::from_f32(number(i))).collect();
        let gb = 2e-9 * (columns * inner) as f64;
        report("reading", "GB/s", pool.threads(), gb, || {
            let words: &[u64] = bytemuck::cast_slice(&w);
            let part = words.len() / 64;
            pool.each(64, |i| {
                black_box(words[i * part..(i + 1) * part].iter().fold(0_u64, |a, b| a ^ b));
            });
        });
        for isa in Isa::available().into_iter().rev() {
            for rows in [1, 2, 3, 4] {
                let x: Vec<f32> = (0..rows * inner).map(number).collect();
                let product = Product { pool: &pool, isa, arithmetic: Arithmetic::Fast };
                report(
                    &format!("{rows} x {inner} x {columns} bf16, {}", isa.name()),
                    "GB/s",
                    pool.threads(),
                    gb,
                    || {
                        matmul(product, &x, inner, &[View::BF16(&w)], &|_, _, parts| {
                            black_box(parts[0][0]);
                        });
                    },
                );
            }
        }
    }
}
