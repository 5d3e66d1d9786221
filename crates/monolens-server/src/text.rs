//! The text of an answer without spaces around it, piece by piece.

/// Leaves out spaces in front of an answer and, as in the official code, behind it if it is whole. The pieces together
/// are the same whether they are sent one by one or at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trimmed {
    started: bool,
    /// Spaces that may be the last ones.
    held: String,
}

impl Trimmed {
    /// For an answer that begins, or one that goes on with a text: its first space counts.
    pub fn new(goes_on: bool) -> Self {
        Self { started: goes_on, held: String::new() }
    }

    /// The text that is certain after this piece.
    pub fn push(&mut self, piece: &str) -> String {
        let piece = if self.started { piece } else { piece.trim_start() };
        self.started |= !piece.is_empty();
        let certain = piece.trim_end();
        if certain.is_empty() {
            self.held.push_str(piece);
            return String::new();
        }
        let text = std::mem::take(&mut self.held) + certain;
        self.held.push_str(&piece[certain.len()..]);
        text
    }

    /// What is left at the end of an answer that is whole, or that was cut off.
    pub fn finish(&mut self, whole: bool) -> String {
        let held = std::mem::take(&mut self.held);
        if whole { String::new() } else { held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(goes_on: bool, whole: bool, pieces: &[&str]) -> Vec<String> {
        let mut text = Trimmed::new(goes_on);
        let mut out: Vec<String> = pieces.iter().map(|piece| text.push(piece)).collect();
        out.push(text.finish(whole));
        out
    }

    #[test]
    fn spaces_around_a_whole_answer_are_left_out() {
        assert_eq!(run(false, true, &[" ", " a ", "\n", " b", " \n"]), ["", "a", "", " \n b", "", ""]);
    }

    #[test]
    fn an_answer_that_was_cut_off_keeps_its_end() {
        assert_eq!(run(false, false, &["a", " "]).concat(), "a ");
    }

    #[test]
    fn one_that_goes_on_keeps_its_beginning() {
        assert_eq!(run(true, true, &[" a"]), [" a", ""]);
    }
}
