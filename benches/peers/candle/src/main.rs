//! `monolens-peer-candle REQUEST`: blocks of a decoder layer in candle, on the CPU. The request is that of `monolens-blocks`, with
//! `weights` one of f32, f16, q8_0 and q4_0; so is the report.

mod layer;

use anyhow::Result;
use candle_core::{Device, Tensor};
use layer::{Layer, Sizes};
use serde::{Deserialize, Serialize};
use std::time::Instant;

#[derive(Deserialize)]
struct Request {
    sizes: Sizes,
    weights: String,
    blocks: Vec<String>,
    rows: Vec<Rows>,
    repeat: usize,
}

#[derive(Clone, Copy, Deserialize)]
struct Rows {
    rows: usize,
    visual: usize,
    depth: usize,
}

#[derive(Serialize)]
struct Timed {
    block: String,
    rows: usize,
    visual: usize,
    depth: usize,
    seconds: Vec<f64>,
}

fn main() -> Result<()> {
    let text = std::env::args().nth(1).unwrap_or_default();
    let request: Request = serde_json::from_str(&text)?;
    let layer = Layer::random(&request.sizes, &request.weights)?;
    let mut timed = Vec::new();
    for block in &request.blocks {
        for &Rows { rows, visual, depth } in &request.rows {
            let step = layer.step(rows, visual, depth)?;
            let x = Tensor::randn(0f32, 1.0, (rows, request.sizes.hidden), &Device::Cpu)?;
            let mut seconds = Vec::new();
            for count in 0..=request.repeat {
                let start = Instant::now();
                layer.forward(block, &x, &step)?;
                // The first run does not count.
                if count > 0 {
                    seconds.push(start.elapsed().as_secs_f64());
                }
            }
            timed.push(Timed { block: block.clone(), rows, visual, depth, seconds });
        }
    }
    println!("{}", serde_json::json!({ "timed": timed }));
    Ok(())
}
