//! From attention probabilities to what pictures show.

mod pictures;

pub use pictures::{Asked, draw};

use crate::draw::Colour;
use crate::draw::map::Segment;
use monolens_engine::{Segment as Run, SegmentKind};
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

/// The parts of a prompt and its answer of `answer` tokens, named and coloured for pictures, and the rows of each image's
/// visual tokens.
pub fn parts(prompt: &[Run], answer: usize) -> (Vec<Segment>, Vec<Range<usize>>) {
    let images = prompt.iter().filter(|run| matches!(run.kind, SegmentKind::Image(_))).count();
    let (mut named, mut rows, mut at) = (Vec::new(), Vec::new(), 0);
    // The answer goes on where the prompt's last run, the answer's header, ends.
    for run in prompt.iter().copied().chain([Run { kind: SegmentKind::Assistant, tokens: answer }]) {
        let (name, colour) = match run.kind {
            SegmentKind::System => ("system".to_owned(), Colour::SYSTEM),
            SegmentKind::User => ("user text".to_owned(), Colour::USER),
            SegmentKind::Image(_) if images == 1 => ("image".to_owned(), Colour::IMAGE),
            SegmentKind::Image(i) => (format!("image {}", i + 1), Colour::IMAGE),
            SegmentKind::Assistant => ("answer".to_owned(), Colour::ANSWER),
        };
        if let SegmentKind::Image(_) = run.kind {
            rows.push(at..at + run.tokens);
        }
        at += run.tokens;
        match named.last_mut() {
            Some(Segment { name: last, tokens, .. }) if *last == name => *tokens += run.tokens,
            _ => named.push(Segment { name, colour, tokens: run.tokens }),
        }
    }
    (named, rows)
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
    fn the_answer_joins_its_header_and_images_are_numbered_if_there_are_several() {
        use SegmentKind::{Assistant, Image, System, User};
        let run = |kind, tokens| Run { kind, tokens };
        let names = |parts: Vec<Segment>| parts.into_iter().map(|s| (s.name, s.tokens)).collect::<Vec<_>>();
        let expected =
            |parts: &[(&str, usize)]| parts.iter().map(|&(n, t)| (n.to_owned(), t)).collect::<Vec<_>>();

        let one = [run(System, 4), run(User, 3), run(Image(0), 2), run(User, 3), run(Assistant, 2)];
        let (parts, rows) = super::parts(&one, 2);
        assert_eq!(
            names(parts),
            expected(&[("system", 4), ("user text", 3), ("image", 2), ("user text", 3), ("answer", 4)])
        );
        assert_eq!(rows, vec![7..9; 1]);

        let two = [run(User, 1), run(Image(0), 2), run(User, 1), run(Image(1), 3)];
        let (parts, rows) = super::parts(&two, 1);
        let (first, second) = (("image 1", 2), ("image 2", 3));
        assert_eq!(
            names(parts),
            expected(&[("user text", 1), first, ("user text", 1), second, ("answer", 1)])
        );
        assert_eq!(rows, [1..3, 4..7]);
    }
}
