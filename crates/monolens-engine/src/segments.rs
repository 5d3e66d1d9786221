//! What a prompt's tokens are, for people: runs of system text, questions, images and answers.

use crate::Prompt;
use monolens_models::tokenizer::SpecialIds;

/// What a run of tokens belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// The system message.
    System,
    /// A question's text.
    User,
    /// An image, by its number in the prompt.
    Image(usize),
    /// An answer's text, or where the next one begins.
    Assistant,
}

/// Tokens of one kind in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Their kind.
    pub kind: SegmentKind,
    /// How many there are.
    pub tokens: usize,
}

impl Prompt {
    /// The prompt cut into runs of one kind, in order. `tokens_per_tile` is the model's.
    pub fn segments(&self, special: &SpecialIds, tokens_per_tile: usize) -> Vec<Segment> {
        let mut all: Vec<Segment> = Vec::new();
        let (mut messages, mut image, mut left) = (0_usize, 0_usize, 0_usize);
        for &id in &self.ids {
            // Messages take turns: the system's, then a question, an answer, a question..
            messages += usize::from(id == special.im_start);
            let kind = if id == special.img_context {
                if left == 0 {
                    left = self.images.get(image).map_or(1, |image| image.tiles().count() * tokens_per_tile);
                    image += 1;
                }
                left -= 1;
                SegmentKind::Image(image - 1)
            } else {
                match messages {
                    0 | 1 => SegmentKind::System,
                    n if n % 2 == 0 => SegmentKind::User,
                    _ => SegmentKind::Assistant,
                }
            };
            match all.last_mut() {
                Some(last) if last.kind == kind => last.tokens += 1,
                _ => all.push(Segment { kind, tokens: 1 }),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_cut_into_its_parts() {
        use SegmentKind::{Assistant, Image, System, User};
        let (bos, start, end, img) = (1, 10, 11, 14);
        let special = SpecialIds {
            bos,
            eos: 2,
            im_start: start,
            im_end: end,
            img_start: 12,
            img_end: 13,
            img_context: img,
        };
        let ids = vec![
            bos, start, 5, end, start, 6, 12, img, 13, 7, end, start, 8, 9, end, start, 12, img, 13, end,
            start, 8,
        ];
        // Without its images every placeholder counts as one of its own.
        let prompt = Prompt { ids, images: Vec::new() };
        let parts: Vec<_> = prompt.segments(&special, 1).into_iter().map(|s| (s.kind, s.tokens)).collect();
        let expected = [
            (System, 4),
            (User, 3),
            (Image(0), 1),
            (User, 3),
            (Assistant, 4),
            (User, 2),
            (Image(1), 1),
            (User, 2),
            (Assistant, 2),
        ];
        assert_eq!(parts, expected);
    }
}
