use super::*;
use crate::random::SplitMix;
use crate::test_support::{golden, golden_json, golden_path, real_tokenizer};
use serde_json::Value;

fn tiny() -> Tokenizer {
    Tokenizer::open(&golden_path("tiny-tokenizer")).unwrap()
}

fn ids_of(value: &Value) -> Vec<u32> {
    let list = value.as_array().unwrap();
    list.iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Every text of a golden file: ids, both official decodes, plain sentencepiece decode, stream.
fn check(tokenizer: &Tokenizer, golden: &Value, pieces: u32) -> usize {
    let cases = golden["cases"].as_array().unwrap();
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(ids, ids_of(&case["ids"]), "ids of {text:?}");
        let body = &ids[1..];
        assert_eq!(tokenizer.decode_official(body, false), case["decoded"]);
        assert_eq!(tokenizer.decode_official(body, true), case["decoded_skip_special"]);
        let plain: Vec<u32> = body.iter().copied().filter(|id| (3..pieces).contains(id)).collect();
        let chat = plain.iter().any(|&id| tokenizer.added_token("<|plugin|>").unwrap() <= id);
        if !chat && body.iter().all(|&id| id > 2) {
            assert_eq!(tokenizer.decode_raw(&plain, false), case["sp_decoded"]);
        }
        let mut stream = StreamDecoder::new(false);
        let mut streamed: String = body.iter().map(|&id| stream.push(tokenizer, id)).collect();
        streamed += &stream.finish();
        assert_eq!(streamed, tokenizer.decode_raw(body, false));
    }
    cases.len()
}

#[test]
fn tiny_tokenizer_matches_every_golden() {
    assert_eq!(check(&tiny(), &golden_json("tiny-tokenizer/golden.json"), 503), 24);
}

#[test]
fn real_tokenizer_matches_every_golden() {
    let Some(folder) = real_tokenizer() else { return };
    let tokenizer = Tokenizer::open(&folder).unwrap();
    let golden = std::fs::read(folder.join("golden.json")).unwrap();
    let golden: Value = serde_json::from_slice(&golden).unwrap();
    assert_eq!(check(&tokenizer, &golden, 92_544), 58);
    let special = tokenizer.special();
    assert_eq!((special.im_end, special.img_context), (92_542, 92_546));
}

#[test]
fn without_json_files_the_official_tokens_are_assumed() {
    let alone =
        Tokenizer::from_model(&golden("tiny-tokenizer/tokenizer.model"), &TokenizerJson::default()).unwrap();
    check(&alone, &golden_json("tiny-tokenizer/golden.json"), 503);
    assert_eq!(alone.special(), tiny().special());
}

#[test]
fn special_tokens_inside_a_stretch_take_a_space_before_the_text_that_precedes_them() {
    let tokenizer = tiny();
    let ids = tokenizer.encode("a</s>a</s></s>a").unwrap();
    assert_eq!(tokenizer.decode_official(&ids[1..], false), " a</s> a</s></s>a");
    assert_eq!(tokenizer.decode_official(&ids, false), " <s> a</s> a</s></s>a");
    assert_eq!(tokenizer.decode_official(&ids, true), "aaa");
}

#[test]
fn grounding_tags_survive_a_raw_decode_and_only_that_of_special_skipping() {
    let tokenizer = tiny();
    let text = "<ref>a cat</ref><box>[[1,2,3,4]]</box>";
    let ids = tokenizer.encode(text).unwrap();
    assert_eq!(tokenizer.decode_raw(&ids[1..], false), text);
    assert_eq!(tokenizer.decode_raw(&ids[1..], true), "a cat[[1,2,3,4]]");
}

#[test]
fn any_text_survives_encoding_and_raw_decoding() {
    let mut rng = SplitMix::new(5);
    let alphabet: Vec<char> = "ab 的，。🙂é\n\u{0}<|im_end|></s>——…Ａthe\u{10ffff}".chars().collect();
    let tokenizer = tiny();
    for _ in 0..3000 {
        let length = rng.below(40);
        let text: String = (0..length).map(|_| alphabet[rng.below(alphabet.len())]).collect();
        let ids = tokenizer.encode(&text).unwrap();
        assert_eq!(tokenizer.decode_raw(&ids[1..], false), text);
    }
}

#[test]
fn ids_beyond_the_vocabulary_decode_to_nothing() {
    assert_eq!(tiny().decode_official(&[9_999_999, u32::MAX], false), "");
    assert_eq!(tiny().token_text(u32::MAX), None);
}

#[test]
fn mutated_tokenizer_files_never_panic() {
    let mut rng = SplitMix::new(6);
    let model = golden("tiny-tokenizer/tokenizer.model");
    let config = golden("tiny-tokenizer/tokenizer_config.json");
    for round in 0..2000 {
        let mut bytes = if round % 2 == 0 { model.clone() } else { config.clone() };
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(bytes.len());
            bytes[at] = rng.below(256) as u8;
        }
        if rng.below(4) == 0 {
            bytes.truncate(rng.below(bytes.len()));
        }
        let read = if round % 2 == 0 {
            Tokenizer::from_model(&bytes, &TokenizerJson::default())
        } else {
            let files = TokenizerJson { tokenizer_config: Some(&bytes), ..Default::default() };
            Tokenizer::from_model(&model, &files)
        };
        if let Ok(tokenizer) = read {
            let ids = tokenizer.encode("Hello, <s> 你好").unwrap();
            tokenizer.decode_official(&ids, false);
        }
    }
}

#[test]
fn a_folder_without_tokenizer_says_what_is_expected() {
    let error = Tokenizer::open(&golden_path("images")).unwrap_err();
    assert!(error.to_string().contains("tokenizer.model"));
}
