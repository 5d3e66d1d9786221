use super::*;
use crate::test_support::golden;
use serde_json::json;

fn base() -> Value {
    serde_json::from_slice(&golden("mono-v1/config.json")).unwrap()
}

fn read(value: &Value) -> Result<ModelConfig, ConfigError> {
    ModelConfig::from_json(value.to_string().as_bytes())
}

/// The error's key after setting `path` to `value` in the tiny mono config.
fn refused(path: &str, value: Value) -> String {
    let mut config = base();
    let mut place = &mut config;
    for part in path.split('.') {
        place = &mut place[part];
    }
    *place = value;
    match read(&config) {
        Err(ConfigError::Key { key, expected, got }) => {
            assert!(!expected.is_empty() && !got.is_empty());
            key
        }
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn golden_configs_are_read() {
    let mono = ModelConfig::from_json(&golden("mono-v1/config.json")).unwrap();
    assert_eq!(mono.family, Family::Mono);
    assert_eq!(mono.num_image_token(), 16);
    assert_eq!(mono.decoder.qkv_rows(), 128);
    assert_eq!(mono.ps_version, PixelShuffle::V2);
    assert_eq!(mono.vision.encoder, None);
    let v15 = ModelConfig::from_json(&golden("mono-v15/config.json")).unwrap();
    assert_eq!(v15.num_image_token(), 9);
    assert_eq!(v15.vision.position_grid(), 8);
    assert_eq!(v15.decoder.attention_experts, Some(AttentionExperts::Qkvo));
    let modular = ModelConfig::from_json(&golden("internvl15/config.json")).unwrap();
    assert_eq!(modular.family, Family::Modular);
    assert_eq!(modular.vision.encoder.unwrap().layers_used, 2);
}

#[test]
fn absent_keys_take_the_official_defaults() {
    let config = read(&json!({
        "llm_config": {"architectures": ["InternLM2ForCausalLM"]},
        "vision_config": {"image_size": 448}
    }))
    .unwrap();
    assert_eq!(config.ps_version, PixelShuffle::V1);
    assert_eq!(config.tile_size, 448);
    assert_eq!(config.num_image_token(), 256);
    assert!(!config.dynamic_image_size && !config.use_thumbnail);
    assert_eq!((config.min_dynamic_patch, config.max_dynamic_patch), (1, 6));
    let llm = &config.decoder;
    assert_eq!(llm.num_kv_heads, llm.num_heads);
    assert_eq!((llm.rms_norm_eps, llm.rope_theta), (1e-6, 10_000.0));
    assert_eq!(llm.max_position_embeddings, 2048);
    assert_eq!(llm.rope_scaling, RopeScaling::None);
    assert!(llm.bias && !llm.tie_word_embeddings);
    let encoder = config.vision.encoder.unwrap();
    assert_eq!(encoder.norm, VisionNorm::RmsNorm);
    assert!(encoder.qk_normalization && !encoder.qkv_bias);
    assert_eq!(encoder.layers_used, 45);
}

#[test]
fn what_cannot_be_run_is_refused_by_key() {
    for (path, value) in [
        ("model_type", json!("llava")),
        ("template", json!("vicuna")),
        ("ps_version", json!("v3")),
        ("downsample_ratio", json!(0.3)),
        ("force_image_size", json!(100)),
        ("max_dynamic_patch", json!(0)),
        ("llm_config.hidden_act", json!("relu")),
        ("llm_config.hidden_size", json!(1u64 << 40)),
        ("llm_config.num_attention_heads", json!(5)),
        ("llm_config.num_key_value_heads", json!(3)),
        ("llm_config.rope_scaling", json!({"type": "yarn", "factor": 2.0})),
        ("llm_config.rope_scaling", json!({"type": "dynamic", "factor": 0.5})),
        ("llm_config.visual_attention_experts", json!("kv")),
        ("llm_config.vocab_size", json!(-3)),
        ("llm_config.rms_norm_eps", json!("small")),
        ("vision_config.model_type", json!("clip")),
        ("vision_config.num_channels", json!(4)),
        ("vision_config.patch_size", json!(0)),
    ] {
        assert_eq!(refused(path, value), path);
    }
    assert_eq!(refused("llm_config.architectures", json!(["QwenForCausalLM"])), "llm_config.architectures");
    assert_eq!(refused("vision_config.model_type", json!("intern_vit_6b")), "vision_config.model_type");
}

#[test]
fn broken_json_is_an_error() {
    for text in ["", "[]", "{", "nul", "{\"llm_config\": 3}"] {
        assert!(ModelConfig::from_json(text.as_bytes()).is_err(), "{text}");
    }
    let deep = "[".repeat(100_000);
    assert!(ModelConfig::from_json(deep.as_bytes()).is_err());
}

#[test]
fn generation_config_defaults_are_the_librarys() {
    let empty = GenerationConfig::from_json(&golden("mono-v1/generation_config.json")).unwrap();
    assert_eq!(empty, GenerationConfig::default());
    let given = GenerationConfig::from_json(br#"{"temperature": 0.5, "top_k": 3}"#).unwrap();
    assert_eq!((given.temperature, given.top_k), (0.5, 3));
    assert!(GenerationConfig::from_json(br#"{"top_p": 2}"#).is_err());
}
