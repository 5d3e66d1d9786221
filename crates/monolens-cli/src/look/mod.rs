//! From attention probabilities to what pictures show.

mod pictures;

pub use pictures::{Asked, draw};

use crate::draw::Colour;
use crate::draw::map::Segment;
use monolens_models::tokenizer::SpecialIds;
use std::ops::Range;

/// Layers to show when none are asked for: four, evenly from the first to the last (1, 8, 16, 24 of 24; spec §12).
pub fn default_layers(layers: usize) -> Vec<usize> {
    let third = |k: usize| (layers * k).div_euclid(3).max(1);
    let mut chosen = vec![1, third(1), third(2), layers];
    chosen.retain(|&l| l > 0 && l <= layers);
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// How much the answer attended to the tokens in `keys`: the mean over the rows `queries` of an N×N map.
pub fn mean_attention(map: &[f32], n: usize, queries: Range<usize>, keys: Range<usize>) -> Vec<f32> {
    let mut sum = vec![0.0; keys.len()];
    let rows = queries.len().max(1) as f32;
    for query in queries {
        let row = map.get(query * n + keys.start..query * n + keys.end).unwrap_or(&[]);
        for (s, v) in sum.iter_mut().zip(row) {
            *s += v / rows;
        }
    }
    sum
}

/// Cuts a prompt and its answer into system text, images, user text and answer.
///
/// `images` are the rows of each image's visual tokens; `prompt` is the number of prompt tokens in `ids`.
pub fn segments(ids: &[u32], special: &SpecialIds, images: &[Range<usize>], prompt: usize) -> Vec<Segment> {
    // The system message ends where the second message begins.
    let starts = ids.iter().take(prompt).enumerate().filter(|(_, id)| **id == special.im_start);
    let user = starts.map(|(at, _)| at).nth(1).unwrap_or(0);
    let mut all = Vec::new();
    let mut push = |name: &str, colour: Colour, tokens: usize| {
        if tokens > 0 {
            all.push(Segment { name: name.to_owned(), colour, tokens });
        }
    };
    push("system", Colour::SYSTEM, user);
    let mut at = user;
    for (i, rows) in images.iter().enumerate() {
        push("user text", Colour::USER, rows.start.saturating_sub(at));
        let name = if images.len() == 1 { "image".to_owned() } else { format!("image {}", i + 1) };
        push(&name, Colour::IMAGE, rows.len());
        at = rows.end;
    }
    push("user text", Colour::USER, prompt.saturating_sub(at));
    push("answer", Colour::ANSWER, ids.len().saturating_sub(prompt));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_layers_are_the_default() {
        assert_eq!(default_layers(24), [1, 8, 16, 24]);
        assert_eq!(default_layers(3), [1, 2, 3]);
        assert_eq!(default_layers(1), [1]);
        assert!(default_layers(0).is_empty());
    }

    #[test]
    fn attention_is_averaged_over_the_answers_rows() {
        let map = [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.2, 0.3, 0.5];
        assert_eq!(mean_attention(&map, 3, 1..3, 0..2), [0.35, 0.4]);
        assert_eq!(mean_attention(&map, 3, 9..9, 0..1), [0.0]);
    }

    #[test]
    fn a_prompt_is_cut_into_its_parts() {
        let special = SpecialIds {
            bos: 1,
            eos: 2,
            im_start: 10,
            im_end: 11,
            img_start: 12,
            img_end: 13,
            img_context: 14,
        };
        let ids = [1, 10, 5, 11, 10, 6, 12, 14, 14, 13, 7, 11, 10, 8, 9, 9];
        let parts: Vec<_> = segments(&ids, &special, std::slice::from_ref(&(7..9)), 14)
            .into_iter()
            .map(|s| (s.name, s.tokens))
            .collect();
        let expected = [("system", 4), ("user text", 3), ("image", 2), ("user text", 5), ("answer", 2)];
        assert_eq!(parts, expected.map(|(n, t)| (n.to_owned(), t)));
        assert_eq!(parts.iter().map(|p| p.1).sum::<usize>(), ids.len());
    }
}
