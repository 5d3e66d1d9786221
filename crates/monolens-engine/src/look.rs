//! Where in the images an answer looked: attention over visual tokens, put together to a map of each image.

use crate::{Engine, EngineError, Image, Inspect, Prompt};
use std::ops::Range;

/// Rows that are looked at in one run at most: each gives as many numbers as there are tokens, in every layer.
const ROWS: usize = 16;

/// Attention of an answer over the images of its prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageAttention {
    /// Layers of the decoder.
    pub layers: usize,
    /// One map an image, in the order of the prompt.
    pub images: Vec<ImageMap>,
}

/// Attention over one image, tiles put side by side as in the image; the thumbnail is left out.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageMap {
    /// Visual tokens across.
    pub columns: usize,
    /// Visual tokens down.
    pub rows: usize,
    /// [layers, rows, columns]: attention probabilities, averaged over heads and over the tokens asked for.
    pub values: Vec<f32>,
}

impl Engine {
    /// Where in the images the tokens `tokens` of an answer to `prompt` looked (their mean), layer by layer.
    ///
    /// # Errors
    /// As [`Engine::inspect`]; a range outside the answer.
    pub async fn image_attention(
        &mut self,
        prompt: Prompt,
        answer: Vec<u32>,
        tokens: Range<usize>,
    ) -> Result<ImageAttention, EngineError> {
        if tokens.is_empty() || tokens.end > answer.len() {
            return Err(EngineError::Setting {
                name: "tokens",
                expected: format!("some of the {} tokens of the answer", answer.len()),
                got: format!("{} to {}", tokens.start, tokens.end),
            });
        }
        let (special, config) = (self.model().tokenizer().special(), self.model().config());
        let (layers, side) = (config.decoder.num_layers, config.num_image_token().isqrt());
        if side * side != config.num_image_token() {
            return Err(EngineError::Internal("tiles whose tokens are no square"));
        }
        let visual = prompt.ids.iter().enumerate().filter(|(_, id)| **id == special.img_context);
        let places: Vec<usize> = visual.map(|(place, _)| place).collect();
        let taps: Vec<String> = (0..layers).map(|layer| format!("attention_map.{layer}")).collect();
        // A token was chosen by the row before it.
        let rows = prompt.ids.len() - 1 + tokens.start..prompt.ids.len() - 1 + tokens.end;
        let mut sums = vec![vec![0.0_f32; places.len()]; layers];
        for first in rows.clone().step_by(ROWS) {
            let request = Inspect {
                prompt: prompt.clone(),
                forced: answer[..tokens.end - 1].to_vec(),
                taps: taps.clone(),
                rows: Some(first..rows.end.min(first + ROWS)),
                ..Inspect::default()
            };
            let seen = self.inspect(request).await?;
            for (tap, sums) in taps.iter().zip(&mut sums) {
                let map = seen.tensors.get(tap).ok_or(EngineError::Internal("a tap that was not read"))?;
                let width = map.shape.last().copied().unwrap_or(0).max(1);
                for row in map.f32s().chunks_exact(width) {
                    sums.iter_mut().zip(&places).for_each(|(sum, &place)| *sum += row[place]);
                }
            }
        }
        let mut images: Vec<ImageMap> =
            prompt.images.iter().map(|image| ImageMap::new(image, side)).collect();
        for layer in &sums {
            let mut rest = layer.as_slice();
            for (map, image) in images.iter_mut().zip(&prompt.images) {
                let (own, others) = rest.split_at(image.tiles().count() * side * side);
                rest = others;
                map.add_layer(image, side, own, 1.0 / tokens.len() as f32);
            }
        }
        Ok(ImageAttention { layers, images })
    }
}

impl ImageMap {
    fn new(image: &Image, side: usize) -> Self {
        let grid = image.tiles().grid();
        Self { columns: grid.columns * side, rows: grid.rows * side, values: Vec::new() }
    }

    /// Appends a layer given tile by tile, each tile `side` × `side`, times `factor`.
    fn add_layer(&mut self, image: &Image, side: usize, tiles: &[f32], factor: f32) {
        let across = image.tiles().grid().columns;
        for row in 0..self.rows {
            for column in 0..across {
                let tile = row / side * across + column;
                let at = (tile * side + row % side) * side;
                self.values.extend(tiles[at..at + side].iter().map(|value| value * factor));
            }
        }
    }
}
