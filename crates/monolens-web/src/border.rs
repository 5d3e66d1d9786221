//! What crosses the border, as `web/src/engine/contract.ts` has it.

use crate::failure::Failure;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wasm_bindgen::JsValue;

/// `LoadOptions`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoadOptions {
    pub backend: String,
    #[serde(default)]
    pub allow_software: bool,
    pub tier: Option<String>,
    pub context: Option<usize>,
    pub weights: Option<String>,
    pub kv: Option<String>,
}

/// `LoadProgress`.
#[derive(Debug, Serialize)]
pub(crate) struct LoadProgress<'a> {
    pub stage: &'static str,
    pub done: u64,
    pub total: u64,
    pub name: &'a str,
}

/// `SelfTest`.
#[derive(Debug, Serialize)]
pub(crate) struct SelfTest {
    pub ok: bool,
    pub device: String,
    pub cases: Vec<SelfTestCase>,
}

/// A case of `SelfTest`.
#[derive(Debug, Serialize)]
pub(crate) struct SelfTestCase {
    pub name: String,
    pub expected: Vec<u32>,
    pub got: Vec<u32>,
}

/// `ModelInfo`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ModelInfo {
    pub name: &'static str,
    pub parameters: u64,
    pub layers: usize,
    pub context: usize,
    pub tile_size: usize,
    pub tokens_per_tile: usize,
    pub max_tiles: usize,
    pub use_thumbnail: bool,
    pub device: Device,
    pub dispatches: BTreeMap<&'static str, usize>,
    pub defaults: Settings,
}

/// `ModelInfo.device`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Device {
    pub kind: String,
    pub name: String,
    pub tier: String,
    pub detail: String,
    pub is_gpu: bool,
    pub reason: String,
}

/// `EngineStats`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EngineStats {
    pub memory: Memory,
    pub kv_tokens: usize,
    pub kv_tokens_cached: usize,
    pub wasm_bytes: u64,
}

/// `EngineStats.memory`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    pub weights: u64,
    pub states: u64,
    pub activations: u64,
}

/// `ImageInfo`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ImageInfo {
    pub id: u32,
    pub width: u32,
    pub height: u32,
    pub columns: usize,
    pub rows: usize,
    pub thumbnail: bool,
    pub visual_tokens: usize,
    pub warning: Option<String>,
}

/// `ChatMessage`.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatMessage {
    pub role: Role,
    pub text: String,
    #[serde(default)]
    pub images: Vec<u32>,
    #[serde(default)]
    pub ids: Vec<u32>,
}

/// `ChatMessage.role`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    System,
    User,
    Assistant,
}

/// `Settings`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Settings {
    pub temperature: Option<f64>,
    pub top_k: Option<usize>,
    pub top_p: Option<f64>,
    pub repetition_penalty: Option<f64>,
    pub seed: Option<f64>,
    pub max_new_tokens: Option<usize>,
    pub stop: Option<Vec<String>>,
    pub keep_tags: Option<bool>,
}

/// `Submitted`.
#[derive(Debug, Serialize)]
pub(crate) struct Submitted {
    pub request: u32,
    pub segments: Vec<Segment>,
}

/// `Segment`.
#[derive(Debug, Serialize)]
pub(crate) struct Segment {
    pub kind: &'static str,
    pub image: Option<u32>,
    pub tokens: usize,
}

/// `AnswerEvent`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub(crate) enum AnswerEvent {
    Started { prompt_tokens: usize, visual_tokens: usize, reused_tokens: usize, tiles_to_encode: usize },
    Prefill { done: usize, total: usize },
    Token { id: u32, text: String },
    Finished { reason: &'static str, text: String, stats: AnswerStats, grounding: Vec<Grounded> },
}

/// `AnswerStats`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AnswerStats {
    pub prompt_tokens: usize,
    pub visual_tokens: usize,
    pub reused_tokens: usize,
    pub prefilled_tokens: usize,
    pub tiles_encoded: usize,
    pub generated_tokens: usize,
    pub time_to_first_token: f64,
    pub decode_seconds: f64,
}

/// `Grounded`.
#[derive(Debug, Serialize)]
pub(crate) struct Grounded {
    pub phrase: String,
    pub boxes: Vec<[u16; 4]>,
}

/// A value as JavaScript has it: plain objects, numbers, nothing for what is absent.
pub(crate) fn to_js(value: &impl Serialize) -> Result<JsValue, Failure> {
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_maps_as_objects(true);
    value.serialize(&serializer).map_err(|error| Failure::new("internal", error))
}

/// A value from JavaScript; `what` names it in errors.
pub(crate) fn from_js<T: DeserializeOwned>(what: &str, value: JsValue) -> Result<T, Failure> {
    serde_wasm_bindgen::from_value(value).map_err(|error| Failure::bad_request(what, error))
}

/// Bytes of this module's memory.
pub(crate) fn wasm_bytes() -> u64 {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size(0) as u64 * 65_536;
    #[cfg(not(target_arch = "wasm32"))]
    0
}
