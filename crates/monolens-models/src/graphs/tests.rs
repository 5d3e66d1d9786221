use super::*;
use crate::checkpoint::{DType, TensorSource};
use crate::config::AttentionExperts;
use crate::random::{Preset, RandomWeights};
use monolens_graph::{Op, batch};

fn config(preset: Preset) -> ModelConfig {
    ModelConfig::from_json(preset.config_json().as_bytes()).unwrap()
}

fn experts(feed_forward: bool, attention: AttentionExperts) -> Experts {
    Experts { feed_forward, attention, qkv_bias: false, output_bias: false }
}

fn build(experts: &Experts) -> Graph {
    let options = DecoderOptions { logits: true, taps: true, attention_maps: vec![1], ..Default::default() };
    decoder(&config(Preset::Tiny).decoder, experts, &options).unwrap()
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.weights.iter().map(|weight| weight.name.as_str()).collect()
}

#[test]
fn parameter_totals_are_the_published_ones() {
    // Spec §2; the class embedding is stored but unused by mono, and its position row is stored.
    let class = 1024;
    for (preset, kind, total) in [
        (Preset::Mono2b, AttentionExperts::None, 3_111_355_392 - class),
        (Preset::Mono2b, AttentionExperts::Qkv, 3_312_681_984 - class),
        (Preset::Mono15_2b, AttentionExperts::Qkvo, 3_413_345_280 - class),
        (Preset::Modular2b, AttentionExperts::None, 2_205_754_368),
    ] {
        let experts = experts(preset != Preset::Modular2b, kind);
        let random = RandomWeights::new(&config(preset), &experts, DType::BF16, 0).unwrap();
        assert_eq!(random.parameters(), total, "{preset:?} {kind:?}");
    }
}

#[test]
fn each_reading_names_its_experts() {
    use AttentionExperts::*;
    for (kind, qkv, output) in [(None, 0, 0), (Qkv, 3, 0), (Qkvo, 3, 3), (QkvoChained, 3, 3)] {
        let graph = build(&experts(true, kind));
        let count = |part: &str| names(&graph).iter().filter(|name| name.contains(part)).count();
        assert_eq!(count(".wqkv_ve."), qkv);
        assert_eq!(count(".wo_ve."), output);
        assert_eq!(count(".feed_forward_ve."), 9);
        let chained = graph.nodes.iter().filter(|node| node.name.ends_with("wo_ve")).count();
        assert_eq!(chained, if kind == QkvoChained { 3 } else { 0 });
    }
}

#[test]
fn a_decoder_without_experts_has_no_routing() {
    let graph = build(&experts(false, AttentionExperts::None));
    assert!(graph.find(batch::ROUTING).is_none());
    assert!(!names(&graph).iter().any(|name| name.contains("_ve")));
    let routed = build(&experts(true, AttentionExperts::None));
    assert!(routed.find(batch::ROUTING).is_some());
}

#[test]
fn taps_carry_the_goldens_names() {
    let graph = build(&experts(true, AttentionExperts::None));
    for name in ["hidden.0", "hidden.3", "hidden_final_norm", "attention_map.1", "logits", "next_ids"] {
        assert!(graph.outputs.contains_key(name), "{name}");
    }
    let modular = vision(&config(Preset::Modular2b), true).unwrap();
    for name in [
        "conv_patches",
        "vision_embeddings",
        "vision_hidden.24",
        "vision_last_hidden",
        "pixel_shuffled",
        "vit_embeds",
    ] {
        assert!(modular.outputs.contains_key(name), "{name}");
    }
}

#[test]
fn tied_embeddings_are_the_output_projection() {
    let mut config = config(Preset::Tiny).decoder;
    config.tie_word_embeddings = true;
    let experts = experts(true, AttentionExperts::None);
    let graph = decoder(&config, &experts, &DecoderOptions::default()).unwrap();
    assert!(!names(&graph).contains(&"language_model.output.weight"));
    let Some(Op::Linear(op)) = graph.nodes.iter().map(|n| &n.op).rfind(|op| matches!(op, Op::Linear(_)))
    else {
        panic!("a linear");
    };
    let used = op.weight.text.weight().unwrap();
    assert_eq!(graph.weight(used).name, "language_model.model.tok_embeddings.weight");
}

#[test]
fn biases_are_routed_with_their_weights() {
    let experts = Experts { qkv_bias: true, output_bias: true, ..experts(true, AttentionExperts::Qkv) };
    let graph = build(&experts);
    let has = |name: &str| names(&graph).contains(&name);
    assert!(has("language_model.model.layers.0.attention.wqkv.bias"));
    assert!(has("language_model.model.layers.0.attention.wqkv_ve.bias"));
    assert!(has("language_model.model.layers.0.attention.wo.bias"));
    assert!(!has("language_model.model.layers.0.attention.wo_ve.bias"));
}

#[test]
fn random_tensors_are_deterministic_and_of_the_size_they_say() {
    let config = config(Preset::Tiny);
    let experts = experts(true, AttentionExperts::None);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let random = RandomWeights::new(&config, &experts, dtype, 3).unwrap();
        for name in random.names() {
            let bytes = random.bytes(name).unwrap();
            assert_eq!(bytes.len() as u64, random.info(name).unwrap().bytes());
            assert_eq!(bytes, random.bytes(name).unwrap());
            random.scan_finite(name).unwrap();
        }
    }
}
