//! Stop strings in a stream of text pieces.

/// Looks for stop strings, holding back text that may become one.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopText {
    stops: Vec<String>,
    held: String,
}

impl StopText {
    /// Looks for these; without any, text passes through at once.
    pub fn new(stops: Vec<String>) -> Self {
        Self { stops, held: String::new() }
    }

    /// The text that is certain after `piece`, and whether a stop string came: then nothing follows.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let first = self.stops.iter().filter_map(|stop| self.held.find(stop)).min();
        if let Some(at) = first {
            let mut text = std::mem::take(&mut self.held);
            text.truncate(at);
            return (text, true);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What is held back: the answer ended otherwise.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Length of the longest end of `text` with which `stop` begins.
fn overlap(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(at, _)| at).filter(|&at| at > 0);
    ends.filter(|&at| text.ends_with(&stop[..at])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool, String) {
        let mut stop = StopText::new(stops.iter().map(|s| (*s).to_owned()).collect());
        let mut out = Vec::new();
        for piece in pieces {
            let (text, hit) = stop.push(piece);
            out.push(text);
            if hit {
                return (out, true, stop.finish());
            }
        }
        (out, false, stop.finish())
    }

    #[test]
    fn without_stop_strings_text_passes_at_once() {
        assert_eq!(run(&[], &["a", "bé"]), (vec!["a".into(), "bé".into()], false, String::new()));
    }

    #[test]
    fn a_stop_string_over_several_pieces_ends_the_text_before_it() {
        let (out, hit, rest) = run(&["END"], &["one E", "N", "D two"]);
        assert_eq!((out.concat().as_str(), hit, rest.as_str()), ("one ", true, ""));
        assert_eq!(out[1], "", "EN may become END");
    }

    #[test]
    fn what_was_held_back_in_vain_comes_later() {
        let (out, hit, rest) = run(&["END"], &["E", "N", "T", " E"]);
        assert_eq!((out.concat().as_str(), hit, rest.as_str()), ("ENT ", false, "E"));
    }

    #[test]
    fn the_first_of_several_stop_strings_counts() {
        let (out, hit, _) = run(&["c", "b"], &["abc"]);
        assert_eq!((out.concat().as_str(), hit), ("a", true));
    }

    #[test]
    fn text_is_cut_between_characters_only() {
        let (out, hit, rest) = run(&["éé"], &["aé", "b", "é"]);
        assert_eq!((out.concat().as_str(), hit, rest.as_str()), ("aéb", false, "é"));
    }
}
