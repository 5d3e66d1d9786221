//! Where images go in a question, and which frames of a video (spec §10).

use super::IMAGE_PLACEHOLDER;

/// Puts placeholders for `images` images in front of a question that has none: `<image>\n` for one,
/// `Image-1: <image>\nImage-2: <image>\n…` for several. A question with placeholders stays as it is.
pub fn place_images(question: &str, images: usize) -> String {
    match images {
        0 => question.to_owned(),
        _ if question.contains(IMAGE_PLACEHOLDER) => question.to_owned(),
        1 => format!("{IMAGE_PLACEHOLDER}\n{question}"),
        _ => numbered("Image-", images, question),
    }
}

/// Puts `Frame1: <image>\nFrame2: <image>\n…` in front of a question about a video.
pub fn place_frames(question: &str, frames: usize) -> String {
    numbered("Frame", frames, question)
}

/// The form of the official repository's multi-image helper: `<image 1> (图1):<image>…\n{question}`.
pub fn place_images_official(question: &str, images: usize) -> String {
    let heads = (1..=images).map(|i| format!("<image {i}> (图{i}):{IMAGE_PLACEHOLDER}"));
    format!("{}\n{question}", heads.collect::<String>())
}

fn numbered(word: &str, count: usize, question: &str) -> String {
    let lines = (1..=count).map(|i| format!("{word}{i}: {IMAGE_PLACEHOLDER}\n"));
    lines.collect::<String>() + question
}

/// Indices of `segments` frames spread over the frames `start..=end` of a video of `frames` frames.
///
/// `range` is the first and last frame to consider; the whole video if none. Indices are ascending
/// and below `frames`; a video of no frames gives none.
pub fn frame_indices(frames: usize, segments: usize, range: Option<(usize, usize)>) -> Vec<usize> {
    let Some(last) = frames.checked_sub(1) else {
        return Vec::new();
    };
    let (start, end) = range.unwrap_or((0, last));
    let end = end.min(last);
    let start = start.min(end);
    let segment = (end - start) as f64 / segments as f64;
    (0..segments)
        .map(|k| {
            let offset = segment / 2.0 + (segment * k as f64).round_ties_even();
            ((start as f64 + offset) as usize).min(last)
        })
        .collect()
}
