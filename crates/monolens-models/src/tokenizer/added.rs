//! Tokens matched in the raw text before anything else: chat tokens, vision tags (spec §9).

use super::TokenizerError;
use crate::config::parse_object;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The six chat tokens that overlay the last pieces of the sentencepiece model, in id order.
const CHAT: [&str; 6] =
    ["<|plugin|>", "<|interpreter|>", "<|action_end|>", "<|action_start|>", "<|im_end|>", "<|im_start|>"];

/// The nine vision tags, in the id order of the official training script.
const VISION: [&str; 9] =
    ["<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>"];

/// The JSON files beside the vocabulary, each optional.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokenizerJson<'a> {
    /// `added_tokens.json`: id by text.
    pub added_tokens: Option<&'a [u8]>,
    /// `tokenizer_config.json`.
    pub tokenizer_config: Option<&'a [u8]>,
    /// `special_tokens_map.json`.
    pub special_tokens_map: Option<&'a [u8]>,
}

/// Added tokens and which of them count as special.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AddedTokens {
    /// Id by text.
    pub ids: BTreeMap<String, u32>,
    /// Texts that `skip_special_tokens` drops.
    pub special: BTreeSet<String>,
}

impl AddedTokens {
    /// Reads the files; what none of them says is as in the official 2B models, whose tokens lie
    /// around the end of the `pieces` sentencepiece pieces.
    pub fn read(files: &TokenizerJson, pieces: u32) -> Result<Self, TokenizerError> {
        let mut added = AddedTokens::default();
        let mut special: Option<BTreeSet<String>> = None;
        if let Some(json) = files.added_tokens {
            for (text, id) in object("added_tokens.json", json)? {
                let id = token_id("added_tokens.json", &text, id.as_u64())?;
                added.insert("added_tokens.json", text, id)?;
            }
        }
        for (name, json) in [
            ("special_tokens_map.json", files.special_tokens_map),
            ("tokenizer_config.json", files.tokenizer_config),
        ] {
            let Some(json) = json else { continue };
            let map = object(name, json)?;
            added.read_decoder(name, &map)?;
            let found = special_texts(&map);
            if !found.is_empty() {
                special.get_or_insert_default().extend(found);
            }
        }
        added.fill_defaults(pieces);
        added.check_range(pieces)?;
        added.special = special.unwrap_or_else(|| {
            let base = ["<unk>", "<s>", "</s>"].into_iter().chain(VISION);
            base.map(str::to_owned).collect()
        });
        Ok(added)
    }

    /// Refuses ids far behind the `pieces` pieces.
    pub fn check_range(&self, pieces: u32) -> Result<(), TokenizerError> {
        let limit = pieces.saturating_add(MAX_BEYOND);
        if let Some((text, id)) = self.ids.iter().find(|(_, id)| **id >= limit) {
            let got = format!("{id} for `{text}`");
            return Err(TokenizerError::file("added tokens", format!("ids below {limit}"), got));
        }
        Ok(())
    }

    fn read_decoder(&mut self, name: &'static str, map: &Map<String, Value>) -> Result<(), TokenizerError> {
        let Some(decoder) = map.get("added_tokens_decoder").and_then(Value::as_object) else {
            return Ok(());
        };
        for (id, token) in decoder {
            let text = token.get("content").and_then(Value::as_str);
            let text = text.ok_or_else(|| {
                TokenizerError::file(name, "a string `content`", format!("{token} for id {id}"))
            })?;
            for flag in ["lstrip", "rstrip", "single_word"] {
                if token.get(flag).and_then(Value::as_bool) == Some(true) {
                    let got = format!("true for `{text}`");
                    return Err(TokenizerError::file(name, format!("{flag} false"), got));
                }
            }
            let id = token_id(name, text, id.parse().ok())?;
            self.insert(name, text.to_owned(), id)?;
        }
        Ok(())
    }

    fn insert(&mut self, file: &'static str, text: String, id: u32) -> Result<(), TokenizerError> {
        if text.is_empty() {
            return Err(TokenizerError::file(file, "tokens with a text", "an empty one"));
        }
        match self.ids.get(&text) {
            Some(&other) if other != id => Err(TokenizerError::file(
                file,
                format!("id {other} for `{text}` as elsewhere"),
                id.to_string(),
            )),
            _ => {
                self.ids.insert(text, id);
                Ok(())
            }
        }
    }

    /// Adds the official tokens unless their text or id is taken.
    fn fill_defaults(&mut self, pieces: u32) {
        let Some(chat) = pieces.checked_sub(CHAT.len() as u32) else {
            return;
        };
        let base = [("<unk>", 0), ("<s>", 1), ("</s>", 2)];
        let around_the_end = CHAT.iter().chain(&VISION).copied().zip(chat..);
        let taken: BTreeSet<u32> = self.ids.values().copied().collect();
        for (text, id) in base.into_iter().chain(around_the_end) {
            if !taken.contains(&id) && !self.ids.contains_key(text) {
                self.ids.insert(text.to_owned(), id);
            }
        }
    }
}

fn object(file: &'static str, json: &[u8]) -> Result<Map<String, Value>, TokenizerError> {
    parse_object(file, json).map_err(|error| TokenizerError::file(file, "a JSON object", error.to_string()))
}

/// Added ids lie at most this far behind the pieces, so that a stray id cannot ask for a huge table.
const MAX_BEYOND: u32 = 1 << 16;

fn token_id(file: &'static str, text: &str, id: Option<u64>) -> Result<u32, TokenizerError> {
    id.and_then(|id| u32::try_from(id).ok()).filter(|&id| id < 1 << 24).ok_or_else(|| {
        let got = format!("{id:?} for `{text}`");
        TokenizerError::file(file, "32-bit ids", got)
    })
}

/// Texts of `bos_token` and the like, and of `additional_special_tokens`.
fn special_texts(map: &Map<String, Value>) -> Vec<String> {
    let text = |value: &Value| {
        let content = value.get("content").unwrap_or(value);
        content.as_str().map(str::to_owned)
    };
    let keys = ["bos_token", "eos_token", "unk_token", "pad_token", "cls_token", "sep_token", "mask_token"];
    let named = keys.iter().filter_map(|key| map.get(*key)).filter_map(text);
    let listed =
        map.get("additional_special_tokens").and_then(Value::as_array).into_iter().flatten().filter_map(text);
    named.chain(listed).collect()
}
