//! Millions of broken inputs through the parsers: an error each time, never a panic.
//!
//! `MONOLENS_FUZZ=n` sets the number of inputs a test (default 250,000).

use super::*;
use crate::config::{GenerationConfig, ModelConfig};
use crate::random::SplitMix;
use crate::test_support::golden;

fn rounds() -> usize {
    let given = std::env::var("MONOLENS_FUZZ").ok();
    given.and_then(|n| n.parse().ok()).unwrap_or(250_000)
}

/// Bytes and snippets that break parsers.
const TOKENS: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ",",
    ":",
    "null",
    "-1",
    "1e400",
    "18446744073709551615",
    "0",
    "9223372036854775808",
    "\"F32\"",
    "\"data_offsets\"",
    "\\u0000",
    "\\ud800",
    "true",
    "[[[[",
    "\u{7f}",
];

/// Flips, cuts, repeats or splices a few places.
fn mutate(rng: &mut SplitMix, input: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..1 + rng.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.below(bytes.len());
        match rng.below(7) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.below(256) as u8,
            2 => bytes.truncate(at),
            3 => {
                let to = (at + 1 + rng.below(12)).min(bytes.len());
                bytes.drain(at..to);
            }
            4 => {
                let token = TOKENS[rng.below(TOKENS.len())].bytes();
                bytes.splice(at..at, token);
            }
            5 => {
                let token = TOKENS[rng.below(TOKENS.len())].bytes();
                let to = (at + 1 + rng.below(6)).min(bytes.len());
                bytes.splice(at..to, token);
            }
            _ => {
                let to = (at + rng.below(64)).min(bytes.len());
                let copy = bytes[at..to].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

/// What a checkpoint accepted must be readable to the last byte.
fn check_accepted(bytes: Vec<u8>) -> bool {
    let reference = safetensors::SafeTensors::deserialize(&bytes).is_ok();
    match Checkpoint::from_bytes(bytes) {
        Err(_) => false,
        Ok(checkpoint) => {
            assert!(reference, "accepted what the reference reader refuses");
            for name in checkpoint.names() {
                let info = checkpoint.info(name).unwrap();
                assert_eq!(checkpoint.slice(name).unwrap().len() as u64, info.bytes());
            }
            true
        }
    }
}

/// A small file: its header is all that the mutations meet.
fn small_file() -> Vec<u8> {
    let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[],"data_offsets":[12,16]},"c":{"dtype":"F16","shape":[0,7],"data_offsets":[16,16]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.resize(bytes.len() + 16, 7);
    bytes
}

#[test]
fn mutated_safetensors_never_panic() {
    let mut rng = SplitMix::new(1);
    let valid = small_file();
    assert!(check_accepted(valid.clone()));
    let mut accepted = 0;
    for _ in 0..rounds() {
        accepted += usize::from(check_accepted(mutate(&mut rng, &valid)));
    }
    assert!(accepted > 0, "mutations should sometimes hit the data only");
}

#[test]
fn mutated_headers_with_a_true_length_never_panic() {
    let mut rng = SplitMix::new(2);
    let valid = small_file();
    let json = &valid[8..valid.len() - 16];
    for _ in 0..rounds() {
        let json = mutate(&mut rng, json);
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(&json);
        bytes.resize(bytes.len() + 16, 0);
        check_accepted(bytes);
    }
}

#[test]
fn mutated_indexes_never_panic() {
    let mut rng = SplitMix::new(3);
    let valid =
        br#"{"metadata":{"total_size":9},"weight_map":{"a":"m-1.safetensors","b":"m-2.safetensors"}}"#;
    for _ in 0..rounds() {
        let _ = ShardIndex::parse("index", &mutate(&mut rng, valid));
    }
}

#[test]
fn mutated_configs_are_refused_or_sane() {
    let mut rng = SplitMix::new(4);
    let full: serde_json::Value = serde_json::from_slice(&golden("mono-v15/config.json")).unwrap();
    let keep = |value: &serde_json::Value, keys: &[&str]| -> serde_json::Value {
        let pairs = keys.iter().map(|k| ((*k).to_owned(), value[*k].clone()));
        serde_json::Value::Object(pairs.collect())
    };
    let mut config = keep(
        &full,
        &["force_image_size", "downsample_ratio", "ps_version", "select_layer", "max_dynamic_patch"],
    );
    config["llm_config"] = keep(
        &full["llm_config"],
        &[
            "architectures",
            "hidden_size",
            "num_attention_heads",
            "num_key_value_heads",
            "rope_scaling",
            "vocab_size",
            "intermediate_size",
        ],
    );
    config["vision_config"] =
        keep(&full["vision_config"], &["model_type", "hidden_size", "image_size", "patch_size"]);
    let valid = config.to_string().into_bytes();
    assert!(ModelConfig::from_json(&valid).is_ok());
    for _ in 0..rounds() {
        let mutant = mutate(&mut rng, &valid);
        if let Ok(config) = ModelConfig::from_json(&mutant) {
            assert!(config.num_image_token() > 0);
            assert!(config.decoder.qkv_rows() >= config.decoder.hidden_size);
            assert!(config.shuffled_channels() > 0);
        }
        let _ = GenerationConfig::from_json(&mutant);
    }
}
