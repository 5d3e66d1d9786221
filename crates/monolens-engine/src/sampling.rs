//! How the next token is chosen and when an answer ends.

use crate::EngineError;
use monolens_graph::batch::SamplingRow;
use monolens_models::config::GenerationConfig;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Settings of one answer. The default is greedy.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// 0 takes the most likely token; else the logits are divided by this.
    pub temperature: f32,
    /// Candidates kept by rank; 0 keeps all.
    pub top_k: usize,
    /// Candidates kept by probability mass, over 0 and up to 1; 1 keeps all.
    pub top_p: f32,
    /// Divides (or multiplies) the logits of ids that this answer holds already; 1 is none. Ids of the prompt do not
    /// count: the official code hands the library embeddings, so it never sees them.
    pub repetition_penalty: f32,
    /// With the same seed and settings an answer is the same again. None draws one.
    pub seed: Option<u64>,
    /// Tokens at most in the answer. The answer also ends where the context does.
    pub max_new_tokens: usize,
    /// Ids that end the answer besides the model's own (end of sequence, `<|im_start|>`, `<|im_end|>`).
    pub stop_ids: Vec<u32>,
    /// Texts that end the answer; they are not part of it.
    pub stop_strings: Vec<String>,
    /// Whether the model's own stop ids end the answer.
    pub use_model_stop_ids: bool,
    /// Keep `<ref>` and `<box>` tags in the text: needed to read grounding answers.
    pub keep_tags: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            seed: None,
            max_new_tokens: 1024,
            stop_ids: Vec::new(),
            stop_strings: Vec::new(),
            use_model_stop_ids: true,
            keep_tags: false,
        }
    }
}

impl Settings {
    /// Greedy, with this many tokens at most.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self { max_new_tokens, ..Self::default() }
    }

    /// What a folder's `generation_config.json` asks for.
    pub fn from_config(config: &GenerationConfig) -> Self {
        let base = Self {
            repetition_penalty: config.repetition_penalty,
            max_new_tokens: config.max_new_tokens.unwrap_or(1024),
            ..Self::default()
        };
        if !config.do_sample {
            return base;
        }
        Self { temperature: config.temperature, top_k: config.top_k, top_p: config.top_p, ..base }
    }

    /// Checks every setting's range.
    ///
    /// # Errors
    /// [`EngineError::Setting`] for the first that is out of range.
    pub fn check(&self) -> Result<(), EngineError> {
        let number = |name: &'static str, value: f32, ok: bool, expected: &'static str| {
            let wrong = || EngineError::Setting { name, expected: expected.into(), got: value.to_string() };
            if ok { Ok(()) } else { Err(wrong()) }
        };
        let t = self.temperature;
        number("temperature", t, t.is_finite() && t >= 0.0, "0 or more")?;
        number("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "over 0 and up to 1")?;
        let p = self.repetition_penalty;
        number("repetition_penalty", p, p.is_finite() && p > 0.0, "more than 0")?;
        if self.max_new_tokens == 0 {
            return Err(EngineError::Setting {
                name: "max_new_tokens",
                expected: "1 or more".into(),
                got: "0".into(),
            });
        }
        if self.stop_strings.iter().any(String::is_empty) {
            return Err(EngineError::Setting {
                name: "stop_strings",
                expected: "texts of at least one character".into(),
                got: "an empty text".into(),
            });
        }
        Ok(())
    }

    /// The device's row for the generated token number `step`.
    pub(crate) fn row(&self, seed: u64, step: usize) -> SamplingRow {
        SamplingRow {
            temperature: self.temperature,
            top_p: self.top_p,
            penalty: self.repetition_penalty,
            top_k: u32::try_from(self.top_k).unwrap_or(u32::MAX),
            seed_low: seed as u32,
            seed_high: (seed >> 32) as u32,
            step: step as u32,
            reserved: 0,
        }
    }

    /// The seed, or a drawn one.
    pub(crate) fn seed_or_random(&self) -> u64 {
        self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish())
    }
}

/// Which ids occurred in an answer, a bit each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    words: Vec<u32>,
}

impl Seen {
    /// Notes an id, for a vocabulary of `vocab` ids.
    pub fn insert(&mut self, id: u32, vocab: usize) {
        self.words.resize(vocab.div_ceil(32), 0);
        if let Some(word) = self.words.get_mut(id as usize / 32) {
            *word |= 1 << (id % 32);
        }
    }

    /// The bits as [`monolens_graph::batch::SEEN`]; empty while nothing occurred.
    pub fn words(&self) -> &[u32] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_greedy_and_valid() {
        let settings = Settings::default();
        settings.check().unwrap();
        assert_eq!(settings.row(0, 3), SamplingRow { step: 3, ..SamplingRow::GREEDY });
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let bad = [
            (Settings { temperature: f32::NAN, ..Settings::default() }, "temperature"),
            (Settings { temperature: -1.0, ..Settings::default() }, "temperature"),
            (Settings { top_p: 0.0, ..Settings::default() }, "top_p"),
            (Settings { top_p: 1.5, ..Settings::default() }, "top_p"),
            (Settings { repetition_penalty: 0.0, ..Settings::default() }, "repetition_penalty"),
            (Settings::greedy(0), "max_new_tokens"),
            (Settings { stop_strings: vec![String::new()], ..Settings::default() }, "stop_strings"),
        ];
        for (settings, name) in bad {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn the_seed_is_split_over_two_words() {
        let row = Settings::default().row(0x1234_5678_9abc_def0, 0);
        assert_eq!((row.seed_high, row.seed_low), (0x1234_5678, 0x9abc_def0));
    }

    #[test]
    fn seen_ids_set_their_bits() {
        let mut seen = Seen::default();
        assert!(seen.words().is_empty());
        seen.insert(33, 70);
        seen.insert(0, 70);
        seen.insert(1000, 70);
        assert_eq!(seen.words(), [1, 2, 0]);
    }
}
