//! The layer, as candle's own models write one: flash attention for the CPU, `index_select` to route.

use anyhow::{Result, bail};
use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{D, DType, Device, Module, Tensor};
use candle_nn::attention::{AttnMask, flash_attn};
use candle_nn::ops::rms_norm;
use candle_nn::rotary_emb::rope;
use serde::Deserialize;

#[derive(Clone, Deserialize)]
pub struct Sizes {
    pub hidden: usize,
    pub inner: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head: usize,
}

/// A product with a weight; activations are f32.
fn projection(kind: &str, out: usize, inner: usize) -> Result<QMatMul> {
    let values = Tensor::randn(0f32, (inner as f32).powf(-0.5), (out, inner), &Device::Cpu)?;
    let quantized = |kind| anyhow::Ok(QMatMul::from_qtensor(QTensor::quantize(&values, kind)?)?);
    match kind {
        "f32" => Ok(QMatMul::Tensor(values)),
        "f16" => Ok(QMatMul::TensorF16(values.to_dtype(DType::F16)?)),
        "q8_0" => quantized(GgmlDType::Q8_0),
        "q4_0" => quantized(GgmlDType::Q4_0),
        other => bail!("weights: expected f32, f16, q8_0 or q4_0, got {other}"),
    }
}

/// Gate and up in one matrix, and down.
struct Expert {
    gate_up: QMatMul,
    down: QMatMul,
    inner: usize,
}

impl Expert {
    fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let both = self.gate_up.forward(z)?;
        let gate = both.narrow(D::Minus1, 0, self.inner)?;
        let up = both.narrow(D::Minus1, self.inner, self.inner)?;
        Ok(self.down.forward(&(gate.silu()? * up)?)?)
    }
}

pub struct Layer {
    sizes: Sizes,
    norm: Tensor,
    qkv: QMatMul,
    o: QMatMul,
    text: Expert,
    visual: Expert,
}

/// What a step needs beside its rows.
pub struct Step {
    cos: Tensor,
    sin: Tensor,
    past: Option<(Tensor, Tensor)>,
    depth: usize,
    /// Rows of text and of pictures, and where each row then stands among both; none if all are text.
    routes: Option<[Tensor; 3]>,
}

impl Layer {
    pub fn random(sizes: &Sizes, kind: &str) -> Result<Self> {
        let s = sizes.clone();
        let expert = || {
            anyhow::Ok(Expert {
                gate_up: projection(kind, 2 * s.inner, s.hidden)?,
                down: projection(kind, s.hidden, s.inner)?,
                inner: s.inner,
            })
        };
        Ok(Self {
            norm: Tensor::ones(s.hidden, DType::F32, &Device::Cpu)?,
            qkv: projection(kind, (s.heads + 2 * s.kv_heads) * s.head, s.hidden)?,
            o: projection(kind, s.hidden, s.heads * s.head)?,
            text: expert()?,
            visual: expert()?,
            sizes: s,
        })
    }

    pub fn step(&self, rows: usize, visual: usize, depth: usize) -> Result<Step> {
        let s = &self.sizes;
        let half = s.head / 2;
        let angles: Vec<f32> = (0..rows * half)
            .map(|i| (depth + i / half) as f32 * 1e6f32.powf(-((i % half) as f32) / half as f32))
            .collect();
        let angles = Tensor::from_vec(angles, (rows, half), &Device::Cpu)?;
        let cache = || Tensor::randn(0f32, 1.0, (1, depth, s.kv_heads, s.head), &Device::Cpu);
        let routes = if visual == 0 { None } else { Some(routes(rows, visual)?) };
        let past = if depth == 0 { None } else { Some((cache()?, cache()?)) };
        Ok(Step { cos: angles.cos()?, sin: angles.sin()?, past, depth, routes })
    }

    pub fn forward(&self, block: &str, x: &Tensor, step: &Step) -> Result<Tensor> {
        match block {
            "feed_forward" => self.feed_forward(x, step),
            "attention" => self.attention(x, step),
            _ => self.feed_forward(&self.attention(x, step)?, step),
        }
    }

    fn attention(&self, x: &Tensor, step: &Step) -> Result<Tensor> {
        let s = &self.sizes;
        let rows = x.dim(0)?;
        let qkv = self.qkv.forward(&rms_norm(x, &self.norm, 1e-5)?)?;
        let part = |first: usize, heads: usize| {
            let part = qkv.narrow(1, first * s.head, heads * s.head)?;
            part.reshape((1, rows, heads, s.head))
        };
        // `rope` turns (batch, heads, rows, head).
        let turned = |part: Tensor| {
            let part = part.transpose(1, 2)?.contiguous()?;
            rope(&part, &step.cos, &step.sin)?.transpose(1, 2)
        };
        let q = turned(part(0, s.heads)?)?;
        let mut k = turned(part(s.heads, s.kv_heads)?)?;
        let mut v = part(s.heads + s.kv_heads, s.kv_heads)?;
        if let Some((past_k, past_v)) = &step.past {
            k = Tensor::cat(&[past_k, &k], 1)?;
            v = Tensor::cat(&[past_v, &v], 1)?;
        }
        let mask = AttnMask::causal_with_offset(step.depth);
        let scale = (s.head as f32).powf(-0.5);
        let (q, k, v) = (q.contiguous()?, k.contiguous()?, v.contiguous()?);
        let a = flash_attn::<f32>(&q, &k, &v, scale, mask, None, None)?;
        let a = a.transpose(1, 2)?.reshape((rows, s.heads * s.head))?;
        Ok((x + self.o.forward(&a)?)?)
    }

    fn feed_forward(&self, x: &Tensor, step: &Step) -> Result<Tensor> {
        let z = rms_norm(x, &self.norm, 1e-5)?;
        let y = match &step.routes {
            None => self.text.forward(&z)?,
            Some([text, visual, back]) => {
                let text = self.text.forward(&z.index_select(text, 0)?)?;
                let visual = self.visual.forward(&z.index_select(visual, 0)?)?;
                Tensor::cat(&[text, visual], 0)?.index_select(back, 0)?
            }
        };
        Ok((x + y)?)
    }
}

/// The visual rows are one run in the middle.
fn routes(rows: usize, visual: usize) -> Result<[Tensor; 3]> {
    let first = (rows - visual) / 2;
    let is_visual = |&i: &u32| (first..first + visual).contains(&(i as usize));
    let (visual, text): (Vec<u32>, Vec<u32>) = (0..rows as u32).partition(is_visual);
    let mut back = vec![0u32; rows];
    for (place, &row) in text.iter().chain(&visual).enumerate() {
        back[row as usize] = place as u32;
    }
    let tensor = |v: Vec<u32>| Tensor::new(v, &Device::Cpu);
    Ok([tensor(text)?, tensor(visual)?, tensor(back)?])
}
