//! Sizes of the published models (spec §1), and a tiny one.

use crate::model::ModelError;
use serde_json::{Value, json};
use std::str::FromStr;

/// A model size with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Mono-InternVL-2B.
    Mono2b,
    /// Mono-InternVL-1.5-2B with `wqkv_ve` and `wo_ve`.
    Mono15_2b,
    /// InternVL-1.5-2B.
    Modular2b,
    /// A mono model of a few hundred thousand parameters.
    Tiny,
}

impl Preset {
    /// All presets.
    pub const ALL: [Preset; 4] = [Preset::Mono2b, Preset::Mono15_2b, Preset::Modular2b, Preset::Tiny];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Mono2b => "mono-2b",
            Preset::Mono15_2b => "mono15-2b",
            Preset::Modular2b => "modular-2b",
            Preset::Tiny => "tiny",
        }
    }

    /// The `config.json` of the preset.
    pub fn config_json(self) -> String {
        let mut config = json!({
            "model_type": "internvl_chat",
            "force_image_size": 448,
            "downsample_ratio": 0.5,
            "ps_version": "v2",
            "select_layer": -1,
            "template": "internlm2-chat",
            "dynamic_image_size": true,
            "use_thumbnail": true,
            "min_dynamic_patch": 1,
            "max_dynamic_patch": 12,
            "llm_config": decoder("InternLM2VEForCausalLM"),
            "vision_config": {
                "model_type": "intern_vit_patch",
                "hidden_size": 1024, "patch_size": 14, "image_size": 448,
            },
        });
        match self {
            Preset::Mono2b => {}
            Preset::Mono15_2b => {
                config["llm_config"]["visual_attention_experts"] = json!("qkvo");
            }
            Preset::Modular2b => {
                config["llm_config"] = decoder("InternLM2ForCausalLM");
                config["vision_config"] = json!({
                    "model_type": "intern_vit_6b",
                    "hidden_size": 1024, "patch_size": 14, "image_size": 448,
                    "num_hidden_layers": 24, "num_attention_heads": 16,
                    "intermediate_size": 4096, "qkv_bias": true, "qk_normalization": false,
                    "norm_type": "layer_norm", "layer_norm_eps": 1e-6, "hidden_act": "gelu",
                });
            }
            Preset::Tiny => {
                config["force_image_size"] = json!(112);
                let llm = &mut config["llm_config"];
                for (key, value) in [
                    ("hidden_size", 64),
                    ("num_hidden_layers", 3),
                    ("num_attention_heads", 4),
                    ("num_key_value_heads", 2),
                    ("intermediate_size", 160),
                    ("vocab_size", 512),
                ] {
                    llm[key] = json!(value);
                }
                config["vision_config"]["hidden_size"] = json!(32);
                config["vision_config"]["image_size"] = json!(112);
            }
        }
        config.to_string()
    }
}

fn decoder(architecture: &str) -> Value {
    json!({
        "architectures": [architecture],
        "model_type": "internlm2",
        "hidden_size": 2048, "num_hidden_layers": 24,
        "num_attention_heads": 16, "num_key_value_heads": 8,
        "intermediate_size": 8192, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "bias": false, "tie_word_embeddings": false,
        "max_position_embeddings": 32768, "rope_theta": 1_000_000,
        "rope_scaling": {"type": "dynamic", "factor": 2.0},
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
        "vocab_size": 92553,
    })
}

impl FromStr for Preset {
    type Err = ModelError;

    fn from_str(name: &str) -> Result<Self, ModelError> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name).ok_or_else(|| {
            let names: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
            ModelError::Preset { expected: names.join(", "), got: name.chars().take(60).collect() }
        })
    }
}
