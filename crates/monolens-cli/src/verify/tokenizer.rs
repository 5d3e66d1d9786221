//! The tokenizer against texts, ids and decodes of the reference, and whole prompts.

use super::golden::read_json;
use super::prompt::MAX_TOKENS;
use super::report::Rows;
use anyhow::Result;
use monolens_models::tokenizer::Tokenizer;
use serde::Deserialize;
use std::path::Path;

/// `golden.json` of a tokenizer folder.
#[derive(Debug, Deserialize)]
struct Texts {
    cases: Vec<Text>,
}

#[derive(Debug, Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
    decoded: Option<String>,
    decoded_skip_special: Option<String>,
}

/// `prompts.json`.
#[derive(Debug, Deserialize)]
struct Prompts {
    cases: Vec<Prompt>,
}

#[derive(Debug, Deserialize)]
struct Prompt {
    name: String,
    question: String,
    #[serde(default)]
    num_patches_list: Vec<usize>,
    #[serde(default)]
    history: Vec<(String, String)>,
    tokens_per_tile: usize,
    prompt: Option<String>,
    ids_run_length: Vec<(u32, usize)>,
}

/// Verifies a tokenizer folder.
///
/// # Errors
/// When its files cannot be read.
pub fn verify(folder: &Path, rows: &mut Rows<'_>) -> Result<()> {
    let texts: Texts = read_json(&folder.join("golden.json"))?;
    let tokenizer = match Tokenizer::open(folder) {
        Ok(tokenizer) => tokenizer,
        Err(error) => {
            rows.case("tokenizer").failed("open", &error.to_string());
            return Ok(());
        }
    };
    rows.case("texts");
    let check = |wrong: Vec<String>, what: &str, rows: &mut Rows<'_>| {
        let shape = format!("{} texts", texts.cases.len());
        rows.exact(what, &shape, wrong.is_empty(), || format!("{} differ, first: {}", wrong.len(), wrong[0]));
    };
    let mut ids = Vec::new();
    let mut decoded = Vec::new();
    let mut skipped = Vec::new();
    for text in &texts.cases {
        let differs =
            |got: &str, expected: &str| format!("{:?}: expected {expected:?}, got {got:?}", text.text);
        match tokenizer.encode(&text.text) {
            Ok(got) if got == text.ids => {}
            Ok(got) => ids.push(differs(&format!("{got:?}"), &format!("{:?}", text.ids))),
            Err(error) => ids.push(differs(&error.to_string(), "ids")),
        }
        // Decodes are of the ids after begin-of-sequence.
        let body = text.ids.get(1..).unwrap_or_default();
        let pairs = [(&text.decoded, false, &mut decoded), (&text.decoded_skip_special, true, &mut skipped)];
        for (expected, skip, wrong) in pairs {
            let got = tokenizer.decode_official(body, skip);
            if let Some(expected) = expected.as_ref().filter(|e| **e != got) {
                wrong.push(differs(&got, expected));
            }
        }
    }
    check(ids, "ids", rows);
    check(decoded, "decoded", rows);
    check(skipped, "decoded_skip_special", rows);
    let prompts = folder.join("prompts.json");
    if prompts.is_file() {
        let prompts: Prompts = read_json(&prompts)?;
        for prompt in &prompts.cases {
            verify_prompt(&tokenizer, prompt, rows);
        }
    }
    Ok(())
}

fn verify_prompt(tokenizer: &Tokenizer, case: &Prompt, rows: &mut Rows<'_>) {
    rows.case(&case.name);
    let length = case.ids_run_length.iter().try_fold(0usize, |sum, run| sum.checked_add(run.1));
    if length.is_none_or(|n| n > MAX_TOKENS) {
        return rows.failed("ids", &format!("ids_run_length: expected at most {MAX_TOKENS} ids"));
    }
    let expected: Vec<u32> =
        case.ids_run_length.iter().flat_map(|&(id, n)| std::iter::repeat_n(id, n)).collect();
    let built = super::prompt::build(
        &case.question,
        &case.history,
        &case.num_patches_list,
        case.tokens_per_tile,
        tokenizer,
    );
    match built {
        Ok(built) => {
            if let Some(text) = &case.prompt {
                rows.exact(
                    "prompt",
                    &format!("{} characters", text.chars().count()),
                    built.text == *text,
                    || format!("expected {text:?}, got {:?}", built.text),
                );
            }
            rows.sequence("ids", &[expected.len()], &built.ids, &expected);
        }
        Err(error) => rows.failed("prompt", &format!("{error:#}")),
    }
}
