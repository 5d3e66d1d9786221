//! How fast products with weights are: GFLOP/s of many rows, GB/s of one row, beside the `gemm` crate and plain reading.
//!
//! `cargo run --release -p monolens-cpu --example products [THREADS] [many] [one] [integers]`. Median and best of at least
//! five.

use half::bf16;
use monolens_cpu::kernels::{GroupedView, Matrix, MatrixMut, Product, View, gemm, matmul};
use monolens_cpu::{Arithmetic, Isa, Pool};
use monolens_graph::Bits;
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

/// The parts that can be asked for.
const PARTS: [&str; 3] = ["many", "one", "integers"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let threads = args.first().and_then(|a| a.parse().ok());
    let pool = Pool::new(threads).expect("threads");
    let wanted =
        |part: &str| !PARTS.iter().any(|p| args.iter().any(|a| a == p)) || args.iter().any(|a| a == part);
    println!("{} threads, {}", pool.threads(), Isa::detect().name());
    if wanted("many") {
        many(&pool);
    }
    if wanted("one") {
        one(&pool);
    }
    if wanted("integers") {
        integers(&pool);
    }
}

fn number(i: usize) -> f32 {
    ((i * 7919 % 1000) as f32 - 500.0) / 500.0
}

/// Reads everything once.
fn read(pool: &Pool, bytes: &[u8]) {
    let parts = 64;
    let part = bytes.len() / parts / 128 * 128;
    pool.each(parts, |i| {
        let (blocks, _) = bytes[i * part..(i + 1) * part].as_chunks::<128>();
        // Independent words, which compilers turn into vectors.
        let mut sums = [0_u8; 128];
        for block in blocks {
            sums.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
        }
        black_box(sums);
    });
}

/// Few and many rows by integers in groups, and reading of as many bytes.
fn integers(pool: &Pool) {
    for (bits, group, columns, inner) in [
        (Bits::Eight, 128, 32_768, 2048),
        (Bits::Eight, 128, 8192, 8192),
        (Bits::Four, 128, 32_768, 2048),
        (Bits::Four, 128, 8192, 8192),
        (Bits::Four, 32, 32_768, 2048),
    ] {
        let words = vec![0x1234_5678; columns * inner / bits.per_word()];
        let scales = vec![1.0; columns * inner / group];
        let w = View::Grouped(GroupedView { words: &words, scales: &scales, bits, group });
        let gb = 4e-9 * (words.len() + scales.len()) as f64;
        println!("{} bits in groups of {group}, {inner} x {columns}", bits.count());
        report("reading", "GB/s", pool.threads(), gb, || read(pool, bytemuck::cast_slice(&words)));
        for rows in [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 200, 310] {
            let x: Vec<f32> = (0..rows * inner).map(number).collect();
            let gflop = 2e-9 * (rows * columns * inner) as f64;
            for arithmetic in [Arithmetic::Fast, Arithmetic::Exact] {
                let product = Product { pool, isa: Isa::detect(), arithmetic };
                let (unit, amount) = if rows == 1 { ("GB/s", gb) } else { ("GFLOP/s", gflop) };
                report(&format!("{rows} rows, {arithmetic:?}"), unit, pool.threads(), amount, || {
                    matmul(product, &x, inner, &[w], &|_, _, parts| {
                        black_box(parts[0][0]);
                    });
                });
            }
        }
    }
}

/// Many rows by bf16 and f32.
fn many(pool: &Pool) {
    for (rows, columns, inner) in [
        (310, 8192, 2048),
        (310, 2048, 8192),
        (310, 4096, 2048),
        (64, 8192, 2048),
        (32, 8192, 2048),
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
                let to = MatrixMut { data: &mut out, row_stride: n };
                gemm(rows, n, inner, to, false, Matrix::rows(&x, inner), w);
                black_box(&out);
            });
        });
        for (name, arithmetic, w) in [
            ("exact, f32", Arithmetic::Exact, View::F32(&w32)),
            ("exact, bf16", Arithmetic::Exact, View::BF16(&w)),
            ("fast, bf16", Arithmetic::Fast, View::BF16(&w)),
        ] {
            let product = Product { pool, isa: Isa::detect(), arithmetic };
            report(&format!("{shape} {name}"), "GFLOP/s", pool.threads(), gflop, || {
                matmul(product, &x, inner, &[w], &|_, _, parts| {
                    black_box(parts[0][0]);
                });
            });
        }
    }
}

/// One row and a few by bf16.
fn one(pool: &Pool) {
    for (columns, inner) in [(96, 2048), (65_536, 2048), (16_384, 8192)] {
        let w: Vec<bf16> = (0..columns * inner).map(|i| bf16::from_f32(number(i))).collect();
        let gb = 2e-9 * (columns * inner) as f64;
        report("reading", "GB/s", pool.threads(), gb, || read(pool, bytemuck::cast_slice(&w)));
        for isa in Isa::available().into_iter().rev() {
            for rows in [1, 2, 3, 4] {
                let x: Vec<f32> = (0..rows * inner).map(number).collect();
                let product = Product { pool, isa, arithmetic: Arithmetic::Fast };
                let name = format!("{rows} x {inner} x {columns} bf16, {}", isa.name());
                report(&name, "GB/s", pool.threads(), gb, || {
                    matmul(product, &x, inner, &[View::BF16(&w)], &|_, _, parts| {
                        black_box(parts[0][0]);
                    });
                });
            }
        }
    }
}
