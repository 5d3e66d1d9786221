//! Boxes in an answer: `<ref>phrase</ref><box>[[x1,y1,x2,y2]]</box>` (spec §12).

/// A box in thousandths of the original image's width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NormBox {
    /// Left edge, 0 to 1000.
    pub x1: u16,
    /// Top edge, 0 to 1000.
    pub y1: u16,
    /// Right edge, `x1` to 1000.
    pub x2: u16,
    /// Bottom edge, `y1` to 1000.
    pub y2: u16,
}

impl NormBox {
    /// Left, top, right and bottom in pixels of an image of `width` x `height` pixels.
    pub fn to_pixels(self, width: u32, height: u32) -> [f32; 4] {
        let (width, height) = (width as f32 / 1000.0, height as f32 / 1000.0);
        [
            f32::from(self.x1) * width,
            f32::from(self.y1) * height,
            f32::from(self.x2) * width,
            f32::from(self.y2) * height,
        ]
    }

    fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let &[x1, y1, x2, y2] = numbers else {
            return None;
        };
        let clamp = |x: f64| x.round().clamp(0.0, 1000.0) as u16;
        let (x1, y1, x2, y2) = (clamp(x1), clamp(y1), clamp(x2), clamp(y2));
        Some(NormBox { x1: x1.min(x2), y1: y1.min(y2), x2: x1.max(x2), y2: y1.max(y2) })
    }
}

/// A phrase of the answer and where it is in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grounded {
    /// The phrase; empty for boxes without one.
    pub phrase: String,
    /// Its boxes, at least one.
    pub boxes: Vec<NormBox>,
}

const TAGS: [&str; 4] = ["<ref>", "</ref>", "<box>", "</box>"];

/// Finds all grounded phrases of an answer decoded with its tags kept.
///
/// Lenient, since a model may write anything: missing closing tags and brackets, spaces, decimals,
/// swapped corners and numbers beyond 0..1000 are put right; what holds no four numbers is skipped.
pub fn parse_grounding(answer: &str) -> Vec<Grounded> {
    let mut found = Vec::new();
    let mut phrase = String::new();
    for (tag, text) in tagged(answer) {
        match tag {
            "<ref>" => phrase = text.trim().to_owned(),
            "<box>" => {
                let boxes = boxes(text);
                if !boxes.is_empty() {
                    let phrase = std::mem::take(&mut phrase);
                    found.push(Grounded { phrase, boxes });
                }
            }
            // A phrase belongs to the box that follows it at once.
            _ if !text.trim().is_empty() => phrase.clear(),
            _ => {}
        }
    }
    found
}

/// The answer without tags and boxes, as a reader wants it: phrases stay in the text.
pub fn strip_grounding(answer: &str) -> String {
    let mut out = String::new();
    for (tag, text) in tagged(answer) {
        if tag != "<box>" {
            out.push_str(text);
        }
    }
    out
}

/// The text behind each tag up to the next; the text before the first has an empty tag.
fn tagged(answer: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = answer;
    let mut tag = "";
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let next = TAGS.iter().filter_map(|tag| rest.find(tag).map(|at| (at, *tag))).min();
        let text;
        let current = tag;
        match next {
            Some((at, next_tag)) => {
                text = &rest[..at];
                rest = &rest[at + next_tag.len()..];
                tag = next_tag;
            }
            None => {
                text = rest;
                done = true;
            }
        }
        Some((current, text))
    })
}

fn boxes(text: &str) -> Vec<NormBox> {
    text.split(['[', ']', '(', ')'])
        .flat_map(|group| {
            let numbers: Vec<f64> = group
                .split([',', ' ', '，', ';'])
                .filter_map(|word| word.trim().parse().ok())
                .filter(|number: &f64| number.is_finite())
                .collect();
            let whole = numbers.len().is_multiple_of(4);
            let usable = if whole { numbers.len() } else { 0 };
            numbers[..usable].chunks(4).filter_map(NormBox::from_numbers).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(answer: &str) -> (String, Vec<[u16; 4]>) {
        let found = parse_grounding(answer).into_iter().next().unwrap();
        let boxes = found.boxes.iter().map(|b| [b.x1, b.y1, b.x2, b.y2]);
        (found.phrase, boxes.collect())
    }

    #[test]
    fn phrases_and_boxes_are_found() {
        let answer = "Here: <ref>the cat</ref><box>[[229,125,660,932]]</box> and <ref>dogs</ref><box>[[1,2,3,4],[5,6,7,8]]</box>.";
        let found = parse_grounding(answer);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].phrase, "the cat");
        assert_eq!(found[1].boxes.len(), 2);
        assert_eq!(strip_grounding(answer), "Here: the cat and dogs.");
        let pixels = found[0].boxes[0].to_pixels(1000, 500);
        assert_eq!(pixels, [229.0, 62.5, 660.0, 466.0]);
    }

    #[test]
    fn the_official_decode_with_spaces_is_understood() {
        let answer = "<ref> a cat </ref> <box> [[1, 2, 30, 40]] </box>";
        assert_eq!(first(answer), ("a cat".to_owned(), vec![[1, 2, 30, 40]]));
    }

    #[test]
    fn malformed_answers_are_put_right_or_skipped() {
        assert_eq!(first("<ref>x</ref><box>[[9,8,7,6").1, [[7, 6, 9, 8]]);
        assert_eq!(first("<box>[[-5,0,2000,1e9]]</box>").1, [[0, 0, 1000, 1000]]);
        assert_eq!(first("<ref>x<box>[1.4,2,3,4]</box>").0, "x");
        for answer in
            ["", "<box>", "<box>[[1,2,3]]</box>", "<ref>x</ref>", "<box>[[NaN,inf,a,b]]", "</box></ref>"]
        {
            assert!(parse_grounding(answer).is_empty(), "{answer}");
        }
    }

    #[test]
    fn a_phrase_does_not_stick_to_a_later_box() {
        let answer = "<ref>x</ref> is not there but <box>[[1,2,3,4]]</box>";
        assert_eq!(first(answer).0, "");
    }
}
