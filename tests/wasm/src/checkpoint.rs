//! A checkpoint too large for WebAssembly's memory: its configuration, its tokenizer and its header. The test makes up the
//! bytes as they are asked for.

use monolens_models::checkpoint::{DType, TensorSource};
use monolens_models::config::{AttentionExperts, ModelConfig};
use monolens_models::graphs::Experts;
use monolens_models::random::{Preset, RandomWeights, TINY_TOKENIZER};
use serde_json::{Map, Value, json};
use wasm_bindgen::prelude::*;

/// The published model's `config.json` with fewer layers and short tiles: 1 GB in bf16, most of it in two matrices.
#[wasm_bindgen]
pub fn large_config(layers: usize) -> String {
    let mut config: Value = serde_json::from_str(&Preset::Mono2b.config_json()).unwrap_or_default();
    config["llm_config"]["num_hidden_layers"] = json!(layers);
    config.to_string()
}

/// A `tokenizer.model` whose ids fit any vocabulary of 512 and more.
#[wasm_bindgen]
pub fn tiny_tokenizer() -> Vec<u8> {
    TINY_TOKENIZER.to_vec()
}

/// The beginning of a `model.safetensors` for a configuration, in bf16; the tensors' bytes follow it.
///
/// # Errors
/// A configuration that contradicts itself.
#[wasm_bindgen]
pub fn header(config: &str) -> Result<Vec<u8>, JsError> {
    let config = ModelConfig::from_json(config.as_bytes())?;
    let experts = Experts {
        feed_forward: true,
        attention: config.decoder.attention_experts.unwrap_or(AttentionExperts::None),
        qkv_bias: false,
        output_bias: false,
    };
    let tensors = RandomWeights::new(&config, &experts, DType::BF16, 0)?;
    let (mut entries, mut end) = (Map::new(), 0);
    for name in tensors.names() {
        let Some(info) = tensors.info(name) else { continue };
        let offsets = [end, end + info.bytes()];
        entries.insert(name.into(), json!({ "dtype": "BF16", "shape": info.shape, "data_offsets": offsets }));
        end = offsets[1];
    }
    let mut json = Value::Object(entries).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok([&(json.len() as u64).to_le_bytes()[..], &json].concat())
}
