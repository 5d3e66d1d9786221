//! Byte pieces → text, sentencepiece's way (spec §9).

/// Collects byte pieces and gives out text as soon as it is certain.
#[derive(Debug, Clone, Default)]
pub(crate) struct ByteRun {
    held: Vec<u8>,
}

impl ByteRun {
    /// Adds a byte and appends to `out` what can no longer change.
    pub fn push(&mut self, byte: u8, out: &mut String) {
        self.held.push(byte);
        while !self.held.is_empty() {
            let Some(used) = take_char(&self.held, out, false) else {
                return;
            };
            self.held.drain(..used);
        }
    }

    /// Ends the run: bytes that wait for more become one U+FFFD each.
    pub fn finish(&mut self, out: &mut String) {
        let mut rest = &self.held[..];
        while let Some(used) = (!rest.is_empty()).then(|| take_char(rest, out, true)).flatten() {
            rest = &rest[used..];
        }
        self.held.clear();
    }

    /// Whether bytes are held back.
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }
}

/// Appends the first character (or U+FFFD for one bad byte); none if more bytes could complete it.
fn take_char(bytes: &[u8], out: &mut String, at_end: bool) -> Option<usize> {
    let window = &bytes[..bytes.len().min(4)];
    let (valid, error) = match std::str::from_utf8(window) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = std::str::from_utf8(&window[..error.valid_up_to()]);
            (valid.unwrap_or_default(), Some(error))
        }
    };
    if let Some(letter) = valid.chars().next() {
        out.push(letter);
        return Some(letter.len_utf8());
    }
    let incomplete = error.is_some_and(|error| error.error_len().is_none());
    if incomplete && !at_end {
        return None;
    }
    out.push('\u{fffd}');
    Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> String {
        let mut run = ByteRun::default();
        let mut out = String::new();
        for &byte in bytes {
            run.push(byte, &mut out);
        }
        run.finish(&mut out);
        out
    }

    #[test]
    fn each_bad_byte_becomes_one_replacement() {
        assert_eq!(whole("é你🙂a".as_bytes()), "é你🙂a");
        assert_eq!(whole(&[0xe4, 0xbd]), "\u{fffd}\u{fffd}");
        assert_eq!(whole(&[0xe4, 0xbd, b'x']), "\u{fffd}\u{fffd}x");
        assert_eq!(whole(&[0xff, 0xf0, 0x9f, 0x99, 0x82]), "\u{fffd}🙂");
        assert_eq!(whole(&[0xed, 0xa0, 0x80]), "\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(whole(&[0xc0, 0x80]), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn incomplete_sequences_are_held_back() {
        let mut run = ByteRun::default();
        let mut out = String::new();
        for &byte in &"🙂".as_bytes()[..3] {
            run.push(byte, &mut out);
            assert_eq!(out, "");
        }
        assert!(run.is_waiting());
        run.push("🙂".as_bytes()[3], &mut out);
        assert_eq!(out, "🙂");
        assert!(!run.is_waiting());
    }
}
